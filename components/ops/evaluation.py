"""The components that only an evaluation has: one shard of one model, merging, scoring, the report over all models.

As in training.py, imports are inside the functions and annotations are real: KFP ships the source.
Answers travel as URIs: KFP cannot name one artifact per model of a recipe.
"""

from typing import List  # noqa: UP035 - KFP reads this name

from kfp import dsl

from components.ops.training import CPU_IMAGE, GPU_IMAGE


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def evaluate_shard(
    items: dsl.Input[dsl.Dataset], model: str, name: str, shard: str, shards: int, config: str, run: str
) -> str:
    import tempfile
    from pathlib import Path

    from components.platform import store
    from components.platform.execution import Call, execute, journal_uri
    from components.platform.tables import read_items, write_items
    from components.questions import sharding
    from components.questions.sampling import sample
    from components.stages import evaluate as stage

    settings = stage.EvaluateConfig.model_validate_json(config)
    questions = sample(read_items(items.path), settings.limit, settings.seed)
    settings = settings.model_copy(update={"limit": None})
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "items.parquet"
        write_items(sharding.shard(questions, int(shard), shards), part)
        # The part's own digest is the input: how it was cut does not matter once it is the same.
        inputs = {"items": str(part), "model": model, "name": f"digest:{name}"}
        task = sharding.task_name(name, int(shard), shards)
        call = Call("evaluate", run, settings, inputs, name=task, datasets={"items": "evaluation"})
        product = execute(
            call,
            lambda out: stage.evaluate(part, model, name, settings, out / "answers.parquet", journal_uri("evaluate")),
        )
    if product.evidence.get("journal"):
        store.delete_prefix(product.evidence["journal"])
    return product.uri


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def merge_shards(
    items: dsl.Input[dsl.Dataset],
    shards: List[str],  # noqa: UP006
    hosted: List[str],  # noqa: UP006
    config: str,
    run: str,
) -> str:
    import tempfile
    from pathlib import Path

    from components.platform import store
    from components.platform.execution import Call, execute
    from components.stages import merge as stage

    settings = stage.MergeConfig.model_validate_json(config)
    uris = sorted([*shards, *hosted])
    inputs = {"items": items.path, **{f"shard_{k:04}": uri for k, uri in enumerate(uris)}}
    call = Call("merge", run, settings, inputs, datasets={"items": "evaluation"})

    def work(out: Path) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            pieces = []
            for k, uri in enumerate(uris):
                pieces.append(Path(folder) / f"{k:04}.parquet")
                store.get_file(uri, "answers.parquet", pieces[-1])
            return stage.merge(Path(items.path), pieces, settings, out)

    return execute(call, work).uri


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def score_models(
    items: dsl.Input[dsl.Dataset],
    answers: str,
    models: str,
    config: str,
    run: str,
    scores: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    import tempfile
    from pathlib import Path

    from components.platform import store
    from components.platform.execution import Call, execute
    from components.stages import compare as stage

    settings = stage.CompareConfig.model_validate_json(config)
    inputs = {"items": items.path, "answers": answers, "models": f"digest:{models}"}
    call = Call("compare", run, settings, inputs, name="score", datasets={"items": "evaluation"})

    def work(out: Path) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            store.get_dir(answers, Path(folder) / "answers")
            files = [Path(folder) / "answers" / f"{name}.parquet" for name in models.split(",")]
            return stage.score_evidence(stage.score_files(Path(items.path), files, settings, out / "scores.json"))

    product = execute(call, work)
    product.save("scores.json", scores.path)
    scores.metadata.update(product.metadata)
    for key, value in product.evidence["metrics"].items():
        metrics.log_metric(key, value)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def report_models(
    items: dsl.Input[dsl.Dataset],
    answers: str,
    models: str,
    scores: dsl.Input[dsl.Artifact],
    classifier: str,
    config: str,
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    import tempfile
    from pathlib import Path

    from components.platform import store
    from components.platform.execution import Call, execute, store_root
    from components.platform.ledger import seal_number
    from components.platform.models import card_file
    from components.stages import report as stage

    settings = stage.ReportConfig.model_validate_json(config)
    inputs = {"items": items.path, "answers": answers, "models": f"digest:{models}", "scores": scores.path}
    seal = seal_number(store_root())
    call = Call("report", run, settings, {**inputs, "classifier": classifier, "seal": f"digest:{seal}"})

    def work(out: Path) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            store.get_dir(answers, Path(folder) / "answers")
            return stage.report(
                scores=Path(scores.path),
                decision=None,
                items=Path(items.path),
                answers=[Path(folder) / "answers" / f"{name}.parquet" for name in models.split(",")],
                classifier=card_file(classifier, "classifier.json", Path(folder)),
                curation=None,
                histories=None,
                config=settings,
                out_dir=out,
                lineage={"classifier": classifier, "answers": answers},
                seal_number=seal,
            )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)
