"""The tasks of a training, and those that an evaluation shares with it: one function per component of `ops`.

Results travel as addresses in the store (`data`, `items`, `mix`, ... are URIs of a stage's directory): a KFP artifact
is about twelve times as long, and stored six times for each task that takes it. A file is fetched only by a task that
works, so one that finds its result stored reads manifests and nothing else. KFP artifacts are what a person looks at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import ReadableError
from components.platform.config import parse_config
from components.platform.execution import (
    CHECKPOINTS,
    EVIDENCE,
    NOTE,
    Call,
    Product,
    execute,
    fetched,
    journal_uri,
    read_receipts,
    result_of,
    resume_uri,
    run_id,
    store_root,
)
from components.platform.lineage import code_digest
from components.platform.storage import plan as plans
from components.platform.storage import store
from components.platform.storage.journal import forget
from components.platform.storage.ledger import reserve, seal_number
from components.tasks.artifacts import Artifact, Curves, Metrics
from components.tasks.origin import origin_of
from components.tasks.patience import patient

if TYPE_CHECKING:
    from components.training.place import TrainerPlace

LOG = logging.getLogger(__name__)

# The files of the stages' directories that other stages read.
TRAIN, LABELS, BENCHMARKS = "train.parquet", "labels.parquet", "benchmarks.parquet"
ITEMS, ANSWERS = "items.parquet", "answers.parquet"
SFT_MIX, RL_MIX, CURATION = "sft.parquet", "rl.parquet", "curation.json"
SCORES, DECISION = "scores.json", "decision.json"
# The models that a training makes, as the report calls them, and the tasks that make them.
MADE = {"classifier": "classify", "sft": "sft", "grpo": "grpo"}


def read_plan(digest: str) -> plans.Plan:
    """The plan of this run, from its store."""
    return plans.read(store_root(), digest)


def trainer_place(plan: plans.Plan, run: str) -> TrainerPlace:
    """Where this run's trainers run; a TrainJob is told whose it is."""
    from components.training.place import TrainerPlace

    place = parse_config(TrainerPlace, plan.trainer, f"plan {plan.digest}: trainer")
    return place.model_copy(update={"job": place.job.model_copy(update={"run": run})})


@patient
def ingest(plan: str, run: str) -> str:
    from components.platform.sources import source_digest
    from components.stages import ingest as stage

    read = read_plan(plan)
    sources, train_source = read.data["benchmarks"], read.data["train"]
    inputs = {
        "benchmarks": f"digest:{source_digest(sources, 'benchmarks')}",
        "train": f"digest:{source_digest(train_source, 'train')}",
    }
    settings = read.config("ingest", stage.IngestConfig)
    if settings.labels_from:
        inputs["labels"] = f"digest:{source_digest(settings.labels_from, 'benchmarks')}"
    call = Call("ingest", run, settings, inputs)
    return execute(call, lambda out: stage.ingest(sources, train_source, settings, out)).uri


@patient
def classify(data: str, plan: str, run: str, metrics: Curves) -> str:
    from components.classifier.card import markdown, registry_tags
    from components.platform.tracking import registry
    from components.stages import classify as stage

    settings = read_plan(plan).config("classify", stage.ClassifyConfig)
    inputs = {"labels": f"{data}/{LABELS}", "encoder": settings.model}
    call = Call("classify", run, settings, inputs, datasets={"labels": "train"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["labels"]) as labels:
            return stage.classify(labels, settings, out)

    product = execute(call, work)
    result = store.get_json(f"{product.uri}/classifier.json")
    registry.register(registry.CLASSIFIER, product.uri, product.digest, registry_tags(result), markdown(result))
    roc, confusion = result["roc"], result["confusion"]
    metrics.log_roc_curve(roc["fpr"], roc["tpr"], roc["thresholds"])
    metrics.log_confusion_matrix(confusion["labels"], confusion["matrix"])
    return product.uri


@patient
def stratify(data: str, classifier: str, plan: str, run: str) -> str:
    from components.platform.models import local_model
    from components.stages import stratify as stage

    settings = read_plan(plan).config("stratify", stage.StratifyConfig)
    seal = seal_number(store_root())
    inputs = {"items": f"{data}/{BENCHMARKS}", "classifier": classifier, "seal": f"digest:{seal}"}
    call = Call("stratify", run, settings, inputs, datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["items"]) as items:
            return stage.stratify(items, local_model(classifier), settings, out / ITEMS, seal_number=seal)

    return execute(call, work).uri


@patient
def curate(plan: str, run: str) -> str:
    from components.platform.models import local_model
    from components.stages import curate as stage

    settings = read_plan(plan).config("curate", stage.CurateConfig)
    data, classifier, items = (result_of(task, run) for task in ("ingest", "classify", "stratify"))
    inputs = {"train": f"{data}/{TRAIN}", "items": f"{items}/{ITEMS}", "classifier": classifier}
    call = Call("curate", run, settings, inputs, datasets={"train": "train", "items": "decontamination"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["train"], inputs["items"]) as (train, questions):
            return stage.curate(train, questions, local_model(classifier), settings, out)

    return execute(call, work).uri


@patient
def sft(mix: str, plan: str, run: str) -> str:
    from components.stages import sft as stage

    read = read_plan(plan)
    model = str(read.model("base").reference)
    settings, place = read.config("sft", stage.SftConfig), trainer_place(read, run_id(run))
    call = Call("sft", run, settings, {"mix": f"{mix}/{SFT_MIX}", "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.sft")

    def work(out: Path) -> dict[str, Any]:
        with fetched(call.inputs["mix"]) as (rows,):
            return {
                **stage.sft(rows, model, settings, resume_uri(call), out, code, place),
                CHECKPOINTS: resume_uri(call),
            }

    return finished(call, execute(call, work))


@patient
def grpo(mix: str, model: str, plan: str, run: str) -> str:
    from components.stages import grpo as stage

    read = read_plan(plan)
    settings, place = read.config("grpo", stage.GrpoConfig), trainer_place(read, run_id(run))
    call = Call("grpo", run, settings, {"mix": f"{mix}/{RL_MIX}", "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.grpo")

    def work(out: Path) -> dict[str, Any]:
        with fetched(call.inputs["mix"]) as (rows,):
            return {
                **stage.grpo(rows, model, settings, resume_uri(call), out, code, place),
                CHECKPOINTS: resume_uri(call),
            }

    return finished(call, execute(call, work))


@patient
def evaluate(model: str, name: str, plan: str, run: str) -> str:
    from components.platform.tables import write_rows
    from components.platform.tracking.registry import absent
    from components.stages import evaluate as stage

    settings = read_plan(plan).evaluation(name, stage.EvaluateConfig)
    items = result_of("stratify", run)
    nobody = absent(model)
    # A registry alias can move; what it points to now is the input.
    inputs = {"items": f"{items}/{ITEMS}", "model": "digest:absent" if nobody else model, "name": f"digest:{name}"}
    call = Call("evaluate", run, settings, inputs, name=f"evaluate-{name}", datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        if nobody:
            write_rows([], out / ANSWERS)
            return {"model": model, "absent": True, NOTE: "no champion", "rows_in": 0, "rows_out": 0}
        with fetched(inputs["items"]) as (questions,):
            return stage.evaluate(questions, model, name, settings, out / ANSWERS, journal_uri("evaluate"))

    product = execute(call, work)
    forget_journal(product)
    return product.uri


@patient
def compare(plan: str, run: str, decision: Artifact, metrics: Metrics) -> tuple[str, str]:
    """The result's address and the decision's entry in the ledger, for `register`.

    The models' answers are those of this run's receipts; a champion's table is empty where there is no champion.

    The look is reserved before answers are compared, so that a decision which is never registered counts too.
    """
    from components.stages import compare as stage
    from components.stages.register import RegisterConfig

    read = read_plan(plan)
    settings = read.config("compare", stage.CompareConfig)
    items, there = result_of("stratify", run), _answered(read, run)
    baseline = "champion" if "champion" in there else "base"
    files = [f"{items}/{ITEMS}", *(f"{uri}/{ANSWERS}" for uri in there.values())]
    seal, name = seal_number(store_root()), read.config("register", RegisterConfig).name
    with fetched(*files) as (questions, *tables):
        wanted = stage.challenge(questions, tables, baseline, "grpo", settings, name, seal)
    place = reserve(store_root(), wanted, run_id(run))
    inputs = {f"answers_{k}": uri for k, uri in enumerate(files[1:])}
    inputs |= {"items": files[0], "baseline": f"digest:{baseline}", "look": f"digest:{place.look}"}
    inputs["seal"] = f"digest:{seal}"
    call = Call("compare", run, settings, inputs, datasets={"items": "evaluation"})

    def work(out: Path) -> dict[str, Any]:
        with fetched(*files) as (questions, *tables):
            return stage.compare(questions, tables, baseline, "grpo", settings, out, look=place.look, seal_number=seal)

    product = execute(call, work)
    product.save(DECISION, decision.path)
    decision.metadata.update({**product.metadata, "ledger_entry": place.serial, "look": place.look})
    for key, value in product.evidence.get("metrics", {}).items():
        metrics.log_metric(key, value)
    return product.uri, str(place.serial)


@patient
def report(judged: str, plan: str, run: str, page: Artifact, summary: Artifact) -> None:
    """`judged` is compare's result; what else it reads, the receipts of the tasks before compare name.

    As arguments of the task these addresses would be stored some eleven times each.
    """
    from components.stages import report as stage

    read = read_plan(plan)
    settings = read.config("report", stage.ReportConfig)
    items, mix = result_of("stratify", run), result_of("curate", run)
    made = {part: result_of(task, run) for part, task in MADE.items()}
    there = _answered(read, run)
    trained = {name: made[name] for name in ("sft", "grpo")}
    inputs = {f"answers_{name}": f"{uri}/{ANSWERS}" for name, uri in there.items()}
    files = {"items": f"{items}/{ITEMS}", "scores": f"{judged}/{SCORES}", "decision": f"{judged}/{DECISION}"}
    files["curation"] = f"{mix}/{CURATION}"
    seal = seal_number(store_root())
    inputs |= {**files, **made, "seal": f"digest:{seal}"}
    call = Call("report", run, settings, inputs)

    def work(out: Path) -> dict[str, Any]:
        folder = out / "inputs"
        folder.mkdir()
        store.get_file(made["classifier"], "classifier.json", folder / "classifier.json")
        histories = {name: folder / f"{name}.json" for name in ("sft", "grpo")}
        for name, path in histories.items():
            store.put_json(str(path), store.get_json(f"{made[name]}/{EVIDENCE}")["history"])
        with fetched(*files.values(), *(f"{uri}/{ANSWERS}" for uri in there.values())) as paths:
            questions, scores, decision, curation, *tables = paths
            return stage.report(
                scores=scores,
                decision=decision,
                items=questions,
                answers=tables,
                classifier=folder / "classifier.json",
                curation=curation,
                histories=histories,
                config=settings,
                out_dir=out,
                lineage=dict(made),
                seal_number=seal,
                origin=origin_of(read, run, {**_references(read, there), **trained}),
            )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)


@patient
def register(model: str, judged: str, ledger: str, plan: str, run: str) -> str:
    """`judged` and `ledger` are compare's; returns the version's number."""
    from components.platform.tracking.notes import page_of
    from components.platform.tracking.registry import identity
    from components.stages import register as stage

    read = read_plan(plan)
    recipe = read.tags["recipe_digest"]
    settings = read.config("register", stage.RegisterConfig)
    inputs = {"model": model, "decision": f"{judged}/{DECISION}", "recipe": f"digest:{recipe}"}
    inputs["registry"] = f"digest:{identity()}"
    call = Call("register", run, settings, inputs)
    context = {"ledger_entry": ledger}

    def work(out: Path) -> dict[str, Any]:
        with fetched(inputs["decision"], f"{judged}/{SCORES}") as (verdict, scores):
            made = stage.Made(read_receipts(store_root(), run_id(run)), read.stages, page_of(run_id(run)))
            return stage.register(model, verdict, scores, recipe, context, settings, out, made)

    return str(execute(call, work).evidence["version"])


def finished(call: Call, product: Product) -> str:
    """The address of a training's result, whose checkpoints are deleted: nothing goes on from them any more."""
    from components.training import checkpoints
    from components.training.job import transport

    try:
        checkpoints.forget(resume_uri(call))
        transport.forget(resume_uri(call))
    except ReadableError as error:  # the result is stored, so this is no reason to fail
        LOG.warning("%s: its checkpoints were not deleted: %s", call.task, error)
    return product.uri


def forget_journal(product: Product) -> None:
    """Delete the records of an evaluation's unfinished work: its answers are stored."""
    if product.evidence.get("journal"):
        forget(product.evidence["journal"])


def _references(plan: plans.Plan, answered: Mapping[str, str]) -> dict[str, str]:
    """Model references by name, of those that were given and have answered."""
    return {model.name: model.reference for model in plan.models if model.reference and model.name in answered}


def _answered(plan: plans.Plan, run: str) -> dict[str, str]:
    """The results of the plan's models that hold answers: a champion that does not exist has an empty table."""
    answers = {model.name: result_of(f"evaluate-{model.name}", run) for model in plan.models}
    return {name: uri for name, uri in answers.items() if not store.get_json(f"{uri}/{EVIDENCE}").get("absent")}
