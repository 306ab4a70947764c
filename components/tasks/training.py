"""The tasks of a training, and those that an evaluation shares with it: one function per component of `ops`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.platform import plan as plans
from components.platform import store
from components.platform.execution import Call, Product, execute, journal_uri, resume_uri, store_root
from components.platform.lineage import code_digest
from components.tasks.artifacts import Artifact, Curves, Metrics
from components.tasks.patience import patient


def read_plan(digest: str) -> plans.Plan:
    """The plan of this run, from its store."""
    return plans.read(store_root(), digest)


@patient
def ingest(plan: str, run: str, benchmarks: Artifact, train: Artifact, labels: Artifact) -> None:
    from components.platform.sources import source_digest
    from components.stages import ingest as stage

    read = read_plan(plan)
    sources, train_source = read.data["benchmarks"], read.data["train"]
    inputs = {
        "benchmarks": f"digest:{source_digest(sources, 'benchmarks')}",
        "train": f"digest:{source_digest(train_source, 'train')}",
    }
    settings = read.config("ingest", stage.IngestConfig)
    call = Call("ingest", run, settings, inputs)
    product = execute(call, lambda out: stage.ingest(sources, train_source, settings, out))
    for artifact, name in ((benchmarks, "benchmarks"), (train, "train"), (labels, "labels")):
        _output(product, f"{name}.parquet", artifact)


@patient
def classify(labels: Artifact, plan: str, run: str, metrics: Curves) -> str:
    from components.platform import registry
    from components.stages import classify as stage

    settings = read_plan(plan).config("classify", stage.ClassifyConfig)
    call = Call(
        "classify", run, settings, {"labels": labels.path, "encoder": settings.model}, datasets={"labels": "train"}
    )
    product = execute(call, lambda out: stage.classify([Path(labels.path)], settings, out))
    result = store.get_json(f"{product.uri}/classifier.json")
    _register_classifier(registry, product, result)
    roc, confusion = result["roc"], result["confusion"]
    metrics.log_roc_curve(roc["fpr"], roc["tpr"], roc["thresholds"])
    metrics.log_confusion_matrix(confusion["labels"], confusion["matrix"])
    return product.uri


def _register_classifier(registry: Any, product: Product, result: dict[str, Any]) -> None:
    from components.classifier.card import markdown, registry_tags

    registry.register(registry.CLASSIFIER, product.uri, product.digest, registry_tags(result), markdown(result))


@patient
def stratify(items: Artifact, classifier: str, plan: str, run: str, stratified: Artifact) -> None:
    from components.platform.models import local_model
    from components.stages import stratify as stage

    settings = read_plan(plan).config("stratify", stage.StratifyConfig)
    inputs = {"items": items.path, "classifier": classifier}
    call = Call("stratify", run, settings, inputs, datasets={"items": "evaluation"})
    product = execute(
        call, lambda out: stage.stratify([Path(items.path)], local_model(classifier), settings, out / "items.parquet")
    )
    _output(product, "items.parquet", stratified)


@patient
def curate(
    train: Artifact,
    items: Artifact,
    classifier: str,
    plan: str,
    run: str,
    sft_mix: Artifact,
    rl_mix: Artifact,
    curation: Artifact,
) -> None:
    from components.platform.models import local_model
    from components.stages import curate as stage

    settings = read_plan(plan).config("curate", stage.CurateConfig)
    inputs = {"train": train.path, "items": items.path, "classifier": classifier}
    call = Call("curate", run, settings, inputs, datasets={"train": "train", "items": "decontamination"})
    product = execute(
        call,
        lambda out: stage.curate(Path(train.path), Path(items.path), local_model(classifier), settings, out),
    )
    for artifact, name in ((sft_mix, "sft.parquet"), (rl_mix, "rl.parquet"), (curation, "curation.json")):
        _output(product, name, artifact)


@patient
def sft(mix: Artifact, model: str, plan: str, run: str) -> str:
    from components.stages import sft as stage

    settings = read_plan(plan).config("sft", stage.SftConfig)
    call = Call("sft", run, settings, {"mix": mix.path, "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.sft")
    return execute(call, lambda out: stage.sft(Path(mix.path), model, settings, resume_uri(call), out, code)).uri


@patient
def grpo(mix: Artifact, model: str, plan: str, run: str) -> str:
    from components.stages import grpo as stage

    settings = read_plan(plan).config("grpo", stage.GrpoConfig)
    call = Call("grpo", run, settings, {"mix": mix.path, "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.grpo")
    return execute(call, lambda out: stage.grpo(Path(mix.path), model, settings, resume_uri(call), out, code)).uri


@patient
def evaluate(items: Artifact, model: str, name: str, plan: str, run: str, answers: Artifact) -> None:
    from components.platform.registry import absent
    from components.platform.tables import write_rows
    from components.stages import evaluate as stage

    settings = read_plan(plan).evaluation(name, stage.EvaluateConfig)
    nobody = absent(model)
    # A registry alias can move; what it points to now is the input.
    inputs = {"items": items.path, "model": "digest:absent" if nobody else model, "name": f"digest:{name}"}
    call = Call("evaluate", run, settings, inputs, name=f"evaluate-{name}", datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        if not nobody:
            table = out / "answers.parquet"
            return stage.evaluate(Path(items.path), model, name, settings, table, journal_uri("evaluate"))
        write_rows([], out / "answers.parquet")
        return {"model": model, "absent": True, "rows_in": 0, "rows_out": 0}

    product = execute(call, work)
    forget_journal(product)
    _output(product, "answers.parquet", answers)


@patient
def compare(
    items: Artifact,
    answers: dict[str, Artifact],
    candidate_uri: str,
    plan: str,
    run: str,
    scores: Artifact,
    decision: Artifact,
    metrics: Metrics,
) -> None:
    """`answers` by model: base, sft, grpo and champion, whose table is empty where there is no champion."""
    from components.platform import registry, tables
    from components.stages import compare as stage

    settings = read_plan(plan).config("compare", stage.CompareConfig)
    paths = [Path(a.path) for a in answers.values() if tables.has_rows(Path(a.path))]
    baseline = "champion" if tables.has_rows(Path(answers["champion"].path)) else "base"
    context = {"baseline": answers[baseline].metadata["digest"], "items": store.file_sha256(Path(items.path))}
    look = registry.next_look(registry.MODEL, candidate_uri, context)
    inputs = {f"answers_{k}": str(path) for k, path in enumerate(paths)}
    inputs |= {"items": items.path, "baseline": f"digest:{baseline}", "look": f"digest:{look}"}
    call = Call("compare", run, settings, inputs, datasets={"items": "evaluation"})
    product = execute(
        call, lambda out: stage.compare(Path(items.path), paths, baseline, "grpo", settings, out, look=look)
    )
    product.save("scores.json", scores.path)
    product.save("decision.json", decision.path)
    decision.metadata.update({**product.metadata, **context, "look": look})
    for key, value in product.evidence.get("metrics", {}).items():
        metrics.log_metric(key, value)


@patient
def report(
    items: Artifact,
    answers: dict[str, Artifact],
    judged: dict[str, Artifact],
    made: dict[str, str],
    plan: str,
    run: str,
    page: Artifact,
    summary: Artifact,
) -> None:
    """`judged` are the files scores, decision and curation; `made` the URIs of classifier, sft and grpo."""
    from components.platform import tables
    from components.stages import report as stage

    settings = read_plan(plan).config("report", stage.ReportConfig)
    paths = {name: Path(a.path) for name, a in answers.items() if tables.has_rows(Path(a.path))}
    inputs = {f"answers_{name}": str(path) for name, path in paths.items()}
    inputs |= {"items": items.path, **{name: artifact.path for name, artifact in judged.items()}, **made}
    call = Call("report", run, settings, inputs)

    def work(out: Path) -> dict[str, Any]:
        folder = out / "inputs"
        folder.mkdir()
        store.get_file(made["classifier"], "classifier.json", folder / "classifier.json")
        histories = {name: folder / f"{name}.json" for name in ("sft", "grpo")}
        for name, path in histories.items():
            store.put_json(str(path), store.get_json(f"{made[name]}/evidence.json")["history"])
        return stage.report(
            scores=Path(judged["scores"].path),
            decision=Path(judged["decision"].path),
            items=Path(items.path),
            answers=list(paths.values()),
            classifier=folder / "classifier.json",
            curation=Path(judged["curation"].path),
            histories=histories,
            config=settings,
            out_dir=out,
            lineage=made,
        )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)


@patient
def register(model: str, decision: Artifact, scores: Artifact, plan: str, run: str) -> str:
    from components.platform.registry import identity
    from components.stages import register as stage

    read = read_plan(plan)
    recipe = read.tags["recipe_digest"]
    settings = read.config("register", stage.RegisterConfig)
    inputs = {"model": model, "decision": decision.path, "recipe": f"digest:{recipe}"}
    inputs["registry"] = f"digest:{identity()}"
    call = Call("register", run, settings, inputs)
    context = {"baseline": decision.metadata.get("baseline", ""), "items": decision.metadata.get("items", "")}
    product = execute(
        call,
        lambda out: stage.register(model, Path(decision.path), Path(scores.path), recipe, context, settings, out),
    )
    return str(product.evidence["version"])


def forget_journal(product: Product) -> None:
    """Delete the records of an evaluation's unfinished work: its answers are stored."""
    if product.evidence.get("journal"):
        store.delete_prefix(product.evidence["journal"])


def _output(product: Product, name: str, artifact: Artifact) -> None:
    product.save(name, artifact.path)
    artifact.metadata.update(product.metadata)
