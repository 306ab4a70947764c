"""The run summary: what a run made, from its receipts, as JSON and as a table for people."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.platform import execution
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
    """The readable end of a run: accuracies, the decision, and where to look."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table(title="Accuracy, all benchmarks pooled [95 % interval]", title_justify="left")
    strata = ("all", "reasoning", "knowledge")
    for column in ("model", "setting", *strata):
        table.add_column(column)
    pooled = {
        (c["model"], c["setting"], c["stratum"]): c
        for c in summary["scores"]["cells"]
        if c["benchmark"] in ("all", "micro") and c["setting"] in ("plain", "adversarial")
    }
    for model, setting in dict.fromkeys((m, s) for m, s, _ in pooled):
        cells = [pooled.get((model, setting, stratum)) for stratum in strata]
        table.add_row(model, setting, *(_cell(cell) for cell in cells))
    console.print(table)
    if gate := summary["gate"]:
        console.print(f"Gate: {gate['decision']} ({gate['candidate']} against {gate['baseline']}, look {gate['look']})")
        for reason in gate["reasons"]:
            console.print(f"  {'ok  ' if reason['passed'] else 'FAIL'}  {reason['text']}", highlight=False)
    console.print("Research software: these figures are not for clinical decisions.", highlight=False)
    version = f"version {summary['model_version']}" if summary["model_version"] else "none registered"
    for label, value in (
        ("report", summary["report"]),
        ("MLflow", summary["mlflow_run_url"]),
        ("S3", summary["s3_prefix"]),
        ("model", version),
    ):
        console.print(f"{label:8} {value}", highlight=False, markup=False)
    if asked := summary["promotion"]:
        # The gate's own reasons stand above, a line each.
        others = [text for text in asked["reasons"] if not text.startswith(REFUSED_BY_GATE)]
        refused = [f"{REFUSED_BY_GATE} (its reasons are above)"] if len(others) < len(asked["reasons"]) else []
        text = f"version {asked['version']} {asked['outcome']}: {'; '.join([*refused, *others])}"
        console.print(f"{'promote':8} {text}", highlight=False, markup=False)


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None or not cell["n"] or cell["accuracy"] is None:
        return "-"
    return f"{100 * cell['accuracy']:.1f} % [{100 * cell['ci_low']:.1f}, {100 * cell['ci_high']:.1f}] n={cell['n']}"
