"""Register: a model version in MLflow whose source is the checkpoint's S3 URI, tagged with how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from components.errors import InputError
from components.platform.execution import store_root
from components.platform.lineage import git_revision
from components.platform.models import stored_weights_digest
from components.platform.storage import store
from components.platform.tracking import registry
from components.serving import decisions

DISCLAIMER = "Research use only. Not a medical device; never for clinical decisions."


class RegisterConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = registry.MODEL
    licence: str = "unknown (ask the base model's)"
    base_model: str = ""


def register(
    model: str,
    decision: Path,
    scores: Path,
    recipe: str,
    context: Mapping[str, str],
    config: RegisterConfig,
    out_dir: Path,
) -> dict[str, Any]:
    """Register the checkpoint at `model` (s3://...) with the gate's decision; returns its version as evidence.

    `recipe` is the resolved recipe's digest, `context` names the ledger's key of the decision. Writes model_card.md to
    `out_dir`, and keeps the decision in BIOMED_R1_STORE for `promote`. Raises InputError for a checkpoint without a
    manifest, and for a decision about other weights.
    """
    manifest = store.read_manifest(model)
    if manifest is None:
        raise InputError(f"model {model}: no {store.MANIFEST}: only complete checkpoints are registered")
    verdict = json.loads(decision.read_text(encoding="utf-8"))
    _about_these_weights(model, manifest, verdict)
    digest = store.manifest_digest(manifest)
    tags = {
        "recipe_digest": recipe,
        "model_digest": digest,
        "git_revision": git_revision(),
        "gate.decision": verdict["decision"],
        "gate.baseline": verdict["baseline"],
        "gate.look": str(verdict["look"]),
        decisions.TAG: decisions.keep(store_root(), config.name, verdict),
        "licence": config.licence,
        "disclaimer": DISCLAIMER,
        **{f"dataset.{name}": value for name, value in manifest["inputs"] if name == "mix"},
        **{f"{registry.CONTEXT_TAG}.{key}": value for key, value in context.items()},
    }
    read = json.loads(scores.read_text(encoding="utf-8"))
    tags |= score_tags(verdict["candidate"], read)
    card = model_card(model, verdict, read, config)
    (out_dir / "model_card.md").write_text(card, encoding="utf-8")
    key = f"{digest[:20]}-{recipe[:20]}-{store.file_sha256(decision)[:20]}"
    version = registry.register(config.name, model, key, tags, card)
    return {"version": version, "name": config.name, "source": model, "decision": verdict["decision"], "tags": tags}


def _about_these_weights(model: str, manifest: Mapping[str, Any], verdict: Mapping[str, Any]) -> None:
    """Raise InputError for a decision that was made about another model; one that does not say is taken as it is."""
    judged = (verdict.get("models") or {}).get("candidate", {}).get("weights_sha256")
    stored = stored_weights_digest(manifest)
    if judged and judged != stored:
        raise InputError(
            f"model {model}: its weights are {stored[:12]}, but the decision is about {judged[:12]}; register the "
            "model that was compared, or evaluate and compare this one"
        )


def score_tags(model: str, scores: Mapping[str, Any]) -> dict[str, str]:
    """The model's accuracies over all benchmarks (fractions), by setting and stratum, for lists of versions."""
    return {
        f"score.{cell['setting']}.{cell['stratum']}": f"{cell['accuracy']:.4f}"
        for cell in scores["cells"]
        if cell["model"] == model and cell["benchmark"] == "all" and cell["n"]
        if cell["setting"] in ("plain", "adversarial")
    }


def model_card(uri: str, decision: Mapping[str, Any], scores: Mapping[str, Any], config: RegisterConfig) -> str:
    """A short model card in Markdown: what it is, how it was judged, what it is not for."""
    rows = [
        f"| {c['stratum']} | {c['setting']} | {c['accuracy']:.3f} "
        f"| {c['ci_low']:.3f} to {c['ci_high']:.3f} | {c['n']} |"
        for c in scores["cells"]
        if c["model"] == decision["candidate"] and c["benchmark"] in ("all", "micro") and c["n"]
    ]
    reasons = [f"- {'passed' if r['passed'] else 'failed'}: {r['text']}" for r in decision["reasons"]]
    return "\n".join(
        [
            f"# {config.name}",
            "",
            f"**{DISCLAIMER}**",
            "",
            f"Base model: {config.base_model or 'see the recipe'}. Licence: {config.licence}. Weights: `{uri}`.",
            "Trained by supervised fine-tuning and GRPO on reasoning-heavy questions with adversarial openings, after",
            "Thapa et al., arXiv:2505.11462. Loads with plain transformers or vLLM.",
            "",
            f"## Gate: {decision['decision']} (against {decision['baseline']}, look {decision['look']})",
            "",
            *reasons,
            "",
            "## Accuracy, all benchmarks pooled",
            "",
            "| stratum | setting | accuracy | 95 % interval | n |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
