"""Register: a model version in MLflow whose source is the checkpoint's S3 URI, tagged with how it came about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.execution import store_root
from components.platform.lineage import git_revision
from components.platform.models import local_model, stored_weights_digest
from components.platform.storage import objects, store
from components.platform.tables import read_items
from components.platform.tracking import registry
from components.report.model_card import DISCLAIMER, About, model_card, version_text
from components.serving import decisions


class RegisterConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    # What `registry:NAME@ALIAS` can name: MLflow would refuse `/` and `:` when the training has ended.
    name: str = Field(registry.MODEL, pattern=r"^[\w.-]+$")
    licence: str = "unknown (ask the base model's)"
    base_model: str = ""
    smoke: bool = Field(True, description="record three answers, by which a deployment knows these weights again")


@dataclass(frozen=True)
class Made:
    """The run that made a model, for its card: receipts by task, stages' settings, its page in MLflow (`#/...`)."""

    receipts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    page: str = ""


def register(
    model: str,
    decision: Path,
    scores: Path,
    recipe: str,
    context: Mapping[str, str],
    config: RegisterConfig,
    out_dir: Path,
    made: Made | None = None,
) -> dict[str, Any]:
    """Register the checkpoint at `model` (s3://...) with the gate's decision; returns its version as evidence.

    `recipe` is the resolved recipe's digest, `context` names the decision's entry in the ledger, `made` is told by the
    card. Writes model_card.md to `out_dir`, and keeps the decision in BIOMED_R1_STORE for `promote` and three answers
    beside the checkpoint for `deploy`. Raises InputError for a checkpoint without a manifest, and for a decision about
    other weights.
    """
    from components.serving.deploy import smoke  # brings httpx

    made = made or Made()
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
    about = About(
        config.name,
        model,
        digest,
        config.licence,
        config.base_model,
        recipe,
        git_revision(),
        receipts=made.receipts,
        settings=made.settings,
    )
    scored = json.loads(scores.read_text(encoding="utf-8"))
    (out_dir / "model_card.md").write_text(model_card(about, verdict, scored), encoding="utf-8")
    tags |= score_tags(verdict["candidate"], scored)
    if config.smoke and smoke.read(model) is None:
        _record_answers(model, made.settings.get("evaluate", {}))
    key = f"{digest[:20]}-{recipe[:20]}-{store.file_sha256(decision)[:20]}"
    version = registry.register(config.name, model, key, tags, version_text(about, verdict, scored, made.page))
    return {"version": version, "name": config.name, "source": model, "decision": verdict["decision"], "tags": tags}


def _record_answers(model: str, asked: Mapping[str, Any]) -> None:
    """Store smoke.json beside the model's manifest: its answers to three of the samples, asked as in the run."""
    from components.serving.deploy import smoke

    questions = read_items(Path(str(files("components.samples"))) / "benchmarks" / "medqa.jsonl")[: smoke.QUESTIONS]
    recorded = smoke.record(
        local_model(model),
        questions,
        style=asked.get("prompt", "direct"),
        max_new_tokens=min(int(asked.get("max_new_tokens", smoke.MAX_NEW_TOKENS)), smoke.MAX_NEW_TOKENS),
    )
    objects.put_json(smoke.smoke_uri(model), recorded)


def _about_these_weights(model: str, manifest: Mapping[str, Any], verdict: Mapping[str, Any]) -> None:
    """Raise InputError for a decision that was made about another model; one that does not say is taken as it is."""
    judged = decisions.weights(verdict, "candidate")
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
