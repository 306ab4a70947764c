"""The tasks that only an evaluation has: one shard of one model, merging, scoring, the report over all models.

As in training.py, results travel as addresses in the store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.platform.execution import Call, execute, fetched, journal_uri, result_of, store_root
from components.platform.storage.ledger import seal_number
from components.tasks.artifacts import Artifact, Metrics
from components.tasks.origin import origin_of
from components.tasks.patience import patient
from components.tasks.training import ANSWERS, ITEMS, SCORES, forget_journal, read_plan


@patient
def evaluate_shard(part: str, plan: str, run: str) -> str:
    """`part` is MODEL/SHARD, the shard counted from 0: KFP loops over texts only, inside an exit handler."""
    from components.platform.tables import read_items, write_items
    from components.questions import sharding
    from components.questions.sampling import sample
    from components.stages import evaluate as stage

    name, _, shard = part.rpartition("/")
    read = read_plan(plan)
    model = str(read.model(name).reference)
    settings = read.evaluation(name, stage.EvaluateConfig)
    items = result_of("stratify", run)
    with fetched(f"{items}/{ITEMS}") as (whole,):
        questions = sample(read_items(whole), settings.limit, settings.seed)
    settings = settings.model_copy(update={"limit": None})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "items.parquet"
        write_items(sharding.shard(questions, int(shard), read.shards), file)
        # The part's own digest is the input: how it was cut does not matter once it is the same.
        inputs = {"items": str(file), "model": model, "name": f"digest:{name}"}
        task = sharding.task_name(name, int(shard), read.shards)
        whole_set = {"items": f"{items}/{ITEMS}"}
        call = Call("evaluate", run, settings, inputs, task, datasets={"items": "evaluation"}, sources=whole_set)
        product = execute(
            call,
            lambda out: stage.evaluate(file, model, name, settings, out / ANSWERS, journal_uri("evaluate")),
        )
    forget_journal(product)
    return product.uri


@patient
def merge_shards(items: str, shards: Sequence[str], plan: str, run: str) -> str:
    from components.stages import merge as stage

    settings = read_plan(plan).config("merge", stage.MergeConfig)
    uris = sorted(shards)
    inputs = {"items": f"{items}/{ITEMS}", **{f"shard_{k:04}": uri for k, uri in enumerate(uris)}}
    call = Call("merge", run, settings, inputs, datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["items"], *(f"{uri}/{ANSWERS}" for uri in uris)) as (questions, *pieces):
            return stage.merge(questions, pieces, settings, out)

    return execute(call, work).uri


@patient
def score_models(items: str, answers: str, plan: str, run: str, metrics: Metrics) -> str:
    from components.stages import compare as stage

    read = read_plan(plan)
    settings = read.config("score", stage.CompareConfig)
    names = [model.name for model in read.models]
    inputs = {"items": f"{items}/{ITEMS}", "answers": answers, "models": f"digest:{','.join(names)}"}
    call = Call("compare", run, settings, inputs, name="score", datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["items"], *(f"{answers}/{name}.parquet" for name in names)) as (questions, *files):
            return stage.score_evidence(stage.score_files(questions, files, settings, out / SCORES))

    product = execute(call, work)
    for key, value in product.evidence["metrics"].items():
        metrics.log_metric(key, value)
    return product.uri


@patient
def report_models(
    items: str,
    answers: str,
    scored: str,
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
    files = {"items": f"{items}/{ITEMS}", "scores": f"{scored}/{SCORES}"}
    inputs = {**files, "answers": answers, "models": f"digest:{','.join(names)}", "classifier": classifier}
    seal = seal_number(store_root())
    call = Call("report", run, settings, {**inputs, "seal": f"digest:{seal}"})

    def work(out: Path) -> dict[str, Any]:
        wanted = [*files.values(), *(f"{answers}/{name}.parquet" for name in names)]
        with tempfile.TemporaryDirectory() as folder, fetched(*wanted) as (questions, scores, *tables):
            return stage.report(
                scores=scores,
                decision=None,
                items=questions,
                answers=tables,
                classifier=card_file(classifier, "classifier.json", Path(folder)),
                curation=None,
                histories=None,
                config=settings,
                out_dir=out,
                lineage={"classifier": classifier, "answers": answers},
                seal_number=seal,
                origin=origin_of(read, run, {model.name: str(model.reference) for model in read.models}),
            )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)
