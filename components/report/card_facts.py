"""What a model card says of how a model was made and asked: read from the run's receipts and its stages' settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.extraction import EXTRACTION_VERSION

Record = Mapping[str, Any]
UNKNOWN = "not recorded"
_TRAINERS = {"sft": "Supervised fine-tuning", "grpo": "GRPO"}
# The settings of a trainer that a reader asks for first; the recipe has all.
_TOLD = ("learning_rate", "batch_size", "gradient_accumulation_steps", "num_generations", "temperature", "beta", "seed")


def training_sets(receipts: Mapping[str, Record]) -> list[tuple[str, int, str, str]]:
    """(name, rows, sha256, what it is) of each set that the run read, then of what was trained on."""
    ingest = _evidence(receipts, "ingest")
    sources = ", ".join(f"{file} ({licence})" for file, licence in ingest.get("licences", {}).items())
    what = {
        "benchmarks": "evaluation; training questions that overlap with it were removed",
        "train": f"training questions before curation; files and licences: {sources or UNKNOWN}",
        "labels": "experts' labels of reasoning and knowledge, for the classifier",
    }
    found = [(d["name"], int(d["rows"]), str(d["digest"]), what.get(d["name"], "")) for d in ingest.get("datasets", [])]
    for name, described in _evidence(receipts, "curate").get("sets", {}).items():
        text = (
            f"trained on; {described['reasoning_heavy_share']:.0%} reasoning-heavy, "
            f"{described['with_wrong_opening']} rows with a wrong prefill"
        )
        # The mixes are files of one stored result, whose digest is over all of them.
        found.append((name, int(described["rows"]), str(receipts["curate"].get("digest", UNKNOWN)), text))
    return found


def reported(receipts: Mapping[str, Record], settings: Mapping[str, Record], decision: Record) -> list[tuple[str, str]]:
    """(subject, what the run says) for the subjects of TRIPOD-LLM that a run can know."""
    asked = _asked(receipts, decision)
    return [
        ("Model and versions", _weights(receipts)),
        *((title, _trained(receipts, settings, stage)) for stage, title in _TRAINERS.items()),
        ("Data preparation", _curated(receipts)),
        ("Dates of the data", "those of the published sets; no question carries a date"),
        ("Annotation", _labelled(receipts)),
        ("Prompt", f"`{asked.get('prompt', UNKNOWN)}`: the style and the sha256 of its text"),
        ("Inference", _inference(asked, settings)),
        ("Output processing", f"extraction rule {EXTRACTION_VERSION}; an output that names no option counts as wrong"),
        ("Performance", "accuracy with 95 % intervals whose unit is the question group; differences are paired"),
        ("Compute", _compute(receipts)),
        ("Ethics", "no patients took part; whether a question set holds patients' data is its source's statement"),
        ("Subgroups and fairness", "not measured: the questions name no groups of patients"),
        ("Oversight", "promotion needs the gate's consent and, by default, a person's sign-off with a reason"),
    ]


def _evidence(receipts: Mapping[str, Record], task: str) -> Record:
    found: Record = receipts.get(task, {}).get("evidence", {})
    return found


def _asked(receipts: Mapping[str, Record], decision: Record) -> Record:
    return _evidence(receipts, f"evaluate-{decision['candidate']}")


def _weights(receipts: Mapping[str, Record]) -> str:
    found = _evidence(receipts, "sft"), _evidence(receipts, "grpo")
    start, end = found[0].get("weights_sha256_start"), found[1].get("weights_sha256")
    return f"base weights sha256 `{start or UNKNOWN}`, these `{end or UNKNOWN}`"


def _trained(receipts: Mapping[str, Record], settings: Mapping[str, Record], stage: str) -> str:
    evidence, config = _evidence(receipts, stage), settings.get(stage, {})
    if not evidence:
        return UNKNOWN
    told = ", ".join(f"{name} {config[name]}" for name in _TOLD if config.get(name) is not None)
    steps = f"{evidence['steps']} steps on {evidence.get('rows_trained', evidence.get('rows_in'))} rows"
    return f"{steps}; {told}" if told else steps


def _curated(receipts: Mapping[str, Record]) -> str:
    curated = _evidence(receipts, "curate")
    if not curated:
        return UNKNOWN
    counts = curated["counts"]
    return (
        f"{counts['train']:,} questions: {counts['contaminated']:,} removed that overlap with the evaluation "
        f"({curated['contamination_rate']:.1%}), {counts['near_duplicates']:,} near duplicates removed"
    )


def _labelled(receipts: Mapping[str, Record]) -> str:
    found = _evidence(receipts, "classify")
    auroc = found.get("table", {}).get(found.get("learner"), {}).get("auroc")
    if not auroc:
        return UNKNOWN
    low, high = auroc["ci_low"], auroc["ci_high"]
    interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"reasoning or knowledge by a classifier trained on experts' labels, AUROC {auroc['estimate']:.3f}{interval}"


def _inference(asked: Record, settings: Mapping[str, Record]) -> str:
    config = settings.get("evaluate", {})
    told = [name for name in ("temperature", "max_new_tokens", "dtype", "seed") if config.get(name) is not None]
    return ", ".join([str(asked.get("engine", UNKNOWN)), *(f"{name} {config[name]}" for name in told)])


def _compute(receipts: Mapping[str, Record]) -> str:
    if not receipts:
        return UNKNOWN
    gpu, wall = (sum(float(r.get(name, 0)) for r in receipts.values()) for name in ("gpu_seconds", "seconds"))
    return f"{gpu / 3600:.2f} GPU-hours, {wall / 3600:.2f} hours of tasks"
