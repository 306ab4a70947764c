"""The run summary: what a run made, from its receipts, as JSON and as a table for people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.platform import execution
from components.platform.screen.tables import Screen, columns
from components.platform.storage import store
from components.platform.tracking import files, notes
from components.platform.tracking.runs import Tracked, run_address
from components.questions.sharding import task_name
from components.serving.promote import REFUSED_BY_GATE
from pipelines.settings.evaluation_recipe import EvaluationRecipe
from pipelines.settings.recipes import AnyRecipe
from pipelines.settings.training_recipe import TrainingRecipe

Receipts = Mapping[str, Mapping[str, Any]]


def summarise(run_id: str, recipe: AnyRecipe, folder: Path, receipts: Receipts, parent: Tracked) -> dict[str, Any]:
    """The run summary of the contract; also fetches the report and the answers' addresses and logs the headline.

    An evaluation decides and registers nothing: its `gate`, `model_version` and `promotion` are null.
    """
    made = _trained(recipe, receipts) if isinstance(recipe, TrainingRecipe) else _evaluated(recipe, receipts)
    scored = receipts["compare" if isinstance(recipe, TrainingRecipe) else "score"]
    report = folder / "report.html"
    store.get_file(receipts["report"]["uri"], "report.html", report)
    parent.tags({"report": receipts["report"]["uri"] + "/report.html"})
    if made["gate"]:
        parent.tags({"gate.decision": made["gate"]["decision"]})
    parent.metrics(scored["evidence"].get("metrics", {}))
    files.log_results(parent, receipts)
    parent.note(notes.ended(parent, receipts, (made["gate"] or {}).get("decision")))
    return {
        "schema_version": 1,
        "run_id": run_id,
        "stages": [
            {key: receipt[key] for key in ("task", "seconds", "reused", "uri", "evidence")} | {"name": receipt["task"]}
            for receipt in receipts.values()
        ],
        "scores": store.get_json(f"{scored['uri']}/scores.json"),
        **made,
        "report": str(report),
        "mlflow_uri": os.environ.get("MLFLOW_TRACKING_URI"),
        "mlflow_run_id": parent.run_id,
        "mlflow_run_url": run_address(parent.run_id) if parent.run_id else None,
        "s3_prefix": execution.store_root(),
        "gpu_seconds": sum(float(r.get("gpu_seconds", 0)) for r in receipts.values()),
    }


def _trained(recipe: TrainingRecipe, receipts: Receipts) -> dict[str, Any]:
    models = {"base": recipe.base_model, "sft": receipts["sft"]["uri"], "grpo": receipts["grpo"]["uri"]}
    return {
        "gate": store.get_json(f"{receipts['compare']['uri']}/decision.json"),
        "model_version": receipts["register"]["evidence"]["version"],
        "promotion": receipts["promote"]["evidence"],
        "models": [_model(name, uri, receipts[f"evaluate-{name}"]) for name, uri in models.items()],
        "answers_uri": {
            name: f"{receipts[f'evaluate-{name}']['uri']}/answers.parquet" for name in (*models, "champion")
        },
    }


def _evaluated(recipe: EvaluationRecipe, receipts: Receipts) -> dict[str, Any]:
    merged = receipts["merge"]["uri"]
    return {
        "gate": None,
        "model_version": None,
        "promotion": None,
        "models": [_model(m.name, m.model, receipts[task_name(m.name, 0, recipe.shards)]) for m in recipe.models],
        "answers_uri": {m.name: f"{merged}/{m.name}.parquet" for m in recipe.models},
    }


def _model(name: str, uri: str, evaluated: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "uri": uri, "weights_sha256": evaluated["evidence"].get("weights_sha256")}


def print_summary(summary: Mapping[str, Any]) -> None:
    """The readable end of a run: accuracies, the decision and what it means, and where to look."""
    screen = Screen()
    figures = ("accuracy", "questions")
    head = columns("model", "setting", "stratum", *figures, figures=figures)
    cells = [
        (c["model"], c["setting"], c["stratum"], _accuracy(c), f"{c['n']:g}")
        for c in summary["scores"]["cells"]
        if c["benchmark"] in ("all", "micro") and c["setting"] in ("plain", "adversarial")
    ]
    screen.table("Accuracy, all benchmarks pooled, percent (95 % interval)", head, cells)
    for text in gate_lines(summary):
        screen.say(text)
    screen.say("Research software: these figures are not for clinical decisions.")
    version = f"version {summary['model_version']}" if summary["model_version"] else "none registered"
    where = [
        ("report", summary["report"]),
        ("MLflow", summary["mlflow_run_url"] or "-"),
        ("S3", summary["s3_prefix"]),
        ("model", version),
    ]
    if asked := summary["promotion"]:
        # The gate's own reasons stand above, a line each.
        others = [text for text in asked["reasons"] if not text.startswith(REFUSED_BY_GATE)]
        refused = [f"{REFUSED_BY_GATE} (its reasons are above)"] if len(others) < len(asked["reasons"]) else []
        text = f"version {asked['version']} {asked['outcome']}: {'; '.join([*refused, *others])}"
        where.append(("promote", text))
    screen.pairs(where)


def gate_lines(summary: Mapping[str, Any]) -> list[str]:
    """The decision, a line each reason, and what a refusal means; nothing where no gate ran."""
    gate = summary["gate"]
    if not gate:
        return []
    lines = [f"Gate: {gate['decision']} ({gate['candidate']} against {gate['baseline']}, look {gate['look']})"]
    lines += [f"{'ok  ' if reason['passed'] else 'FAIL'}  {reason['text']}" for reason in gate["reasons"]]
    if gate["decision"] != "promote":
        lines.append(
            "A refusal means: these answers do not show that the candidate may replace the baseline, so what serves "
            f"stays. Version {summary['model_version']} is registered all the same, so that its weights, scores and "
            "reasons can be looked up; it does not serve."
        )
    return lines


def _accuracy(cell: Mapping[str, Any]) -> str:
    """In percent, with its interval."""
    if not cell["n"] or cell["accuracy"] is None:
        return "-"
    return f"{100 * cell['accuracy']:.1f} ({100 * cell['ci_low']:.1f} to {100 * cell['ci_high']:.1f})"
