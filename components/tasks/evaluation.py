"""The tasks that only an evaluation has: one shard of one model, merging, scoring, the report over all models.

Answers travel as URIs: KFP cannot name one artifact per model of a recipe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.platform import store
from components.platform.execution import Call, execute, journal_uri
from components.tasks.artifacts import Artifact, Metrics
from components.tasks.patience import patient
from components.tasks.training import forget_journal, read_plan


@patient
def evaluate_shard(items: Artifact, part: str, plan: str, run: str) -> str:
    """`part` is MODEL/SHARD, the shard counted from 0: KFP loops over texts only, inside an exit handler."""
    from components.platform.tables import read_items, write_items
    from components.questions import sharding
    from components.questions.sampling import sample
    from components.stages import evaluate as stage

    name, _, shard = part.rpartition("/")
    read = read_plan(plan)
    model = str(read.model(name).reference)
    settings = read.evaluation(name, stage.EvaluateConfig)
    questions = sample(read_items(Path(items.path)), settings.limit, settings.seed)
    settings = settings.model_copy(update={"limit": None})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "items.parquet"
        write_items(sharding.shard(questions, int(shard), read.shards), file)
        # The part's own digest is the input: how it was cut does not matter once it is the same.
        inputs = {"items": str(file), "model": model, "name": f"digest:{name}"}
        task = sharding.task_name(name, int(shard), read.shards)
        call = Call("evaluate", run, settings, inputs, name=task, datasets={"items": "evaluation"})
        product = execute(
            call,
            lambda out: stage.evaluate(file, model, name, settings, out / "answers.parquet", journal_uri("evaluate")),
        )
    forget_journal(product)
    return product.uri


@patient
def merge_shards(items: Artifact, shards: Sequence[str], plan: str, run: str) -> str:
    from components.stages import merge as stage

    settings = read_plan(plan).config("merge", stage.MergeConfig)
    uris = sorted(shards)
    inputs = {"items": items.path, **{f"shard_{k:04}": uri for k, uri in enumerate(uris)}}
    call = Call("merge", run, settings, inputs, datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            pieces = []
            for k, uri in enumerate(uris):
                pieces.append(Path(folder) / f"{k:04}.parquet")
                store.get_file(uri, "answers.parquet", pieces[-1])
            return stage.merge(Path(items.path), pieces, settings, out)

    return execute(call, work).uri


@patient
def score_models(items: Artifact, answers: str, plan: str, run: str, scores: Artifact, metrics: Metrics) -> None:
    from components.stages import compare as stage

    read = read_plan(plan)
    settings = read.config("score", stage.CompareConfig)
    names = [model.name for model in read.models]
    inputs = {"items": items.path, "answers": answers, "models": f"digest:{','.join(names)}"}
    call = Call("compare", run, settings, inputs, name="score", datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            store.get_dir(answers, Path(folder) / "answers")
            files = [Path(folder) / "answers" / f"{name}.parquet" for name in names]
            return stage.score_evidence(stage.score_files(Path(items.path), files, settings, out / "scores.json"))

    product = execute(call, work)
    product.save("scores.json", scores.path)
    scores.metadata.update(product.metadata)
    for key, value in product.evidence["metrics"].items():
        metrics.log_metric(key, value)


@patient
def report_models(
    items: Artifact,
    answers: str,
    scores: Artifact,
    classifier: str,
    plan: str,
    run: str,
    page: Artifact,
    summary: Artifact,
) -> None:
    from components.platform.models import card_file
    from components.stages import report as stage

    read = read_plan(plan)
    settings = read.config("report", stage.ReportConfig)
    names = [model.name for model in read.models]
    inputs = {"items": items.path, "answers": answers, "models": f"digest:{','.join(names)}", "scores": scores.path}
    call = Call("report", run, settings, {**inputs, "classifier": classifier})

    def work(out: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            store.get_dir(answers, Path(folder) / "answers")
            return stage.report(
                scores=Path(scores.path),
                decision=None,
                items=Path(items.path),
                answers=[Path(folder) / "answers" / f"{name}.parquet" for name in names],
                classifier=card_file(classifier, "classifier.json", Path(folder)),
                curation=None,
                histories=None,
                config=settings,
                out_dir=out,
                lineage={"classifier": classifier, "answers": answers},
            )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)
