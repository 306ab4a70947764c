"""The KFP face of the stages: one thin component each. The only module inside `components` that imports kfp.

Every component calls its stage through `execute`, which makes it content-addressed, tracked and receipted. Imports
are inside the functions because KFP ships a component as its own source text, and annotations are evaluated because
KFP reads them: no `from __future__ import annotations` here.
"""

import os

from kfp import dsl

CPU_IMAGE = os.environ.get("BIOMED_R1_CPU_IMAGE", "biomed-r1-python-cpu:dev")
GPU_IMAGE = os.environ.get("BIOMED_R1_GPU_IMAGE", "biomed-r1-python-gpu:dev")


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def ingest(
    sources: str,
    train_source: str,
    config: str,
    run: str,
    benchmarks: dsl.Output[dsl.Dataset],
    train: dsl.Output[dsl.Dataset],
    labels: dsl.Output[dsl.Dataset],
) -> None:
    from components.platform.execution import Call, execute
    from components.platform.sources import source_digest
    from components.stages import ingest as stage

    inputs = {
        "benchmarks": f"digest:{source_digest(sources, 'benchmarks')}",
        "train": f"digest:{source_digest(train_source, 'train')}",
    }
    settings = stage.IngestConfig.model_validate_json(config)
    call = Call("ingest", run, settings, inputs)
    product = execute(call, lambda out: stage.ingest(sources, train_source, settings, out))
    for artifact, name in ((benchmarks, "benchmarks"), (train, "train"), (labels, "labels")):
        product.save(f"{name}.parquet", artifact.path)
        artifact.metadata.update(product.metadata)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def classify(
    labels: dsl.Input[dsl.Dataset], config: str, run: str, metrics: dsl.Output[dsl.ClassificationMetrics]
) -> str:
    from pathlib import Path

    from components.classifier.card import markdown, registry_tags
    from components.platform import registry, store
    from components.platform.execution import Call, execute
    from components.stages import classify as stage

    settings = stage.ClassifyConfig.model_validate_json(config)
    call = Call(
        "classify", run, settings, {"labels": labels.path, "encoder": settings.model}, datasets={"labels": "train"}
    )
    product = execute(call, lambda out: stage.classify([Path(labels.path)], settings, out))
    result = store.get_json(f"{product.uri}/classifier.json")
    registry.register(registry.CLASSIFIER, product.uri, product.digest, registry_tags(result), markdown(result))
    roc, confusion = result["roc"], result["confusion"]
    metrics.log_roc_curve(roc["fpr"], roc["tpr"], roc["thresholds"])
    metrics.log_confusion_matrix(confusion["labels"], confusion["matrix"])
    return product.uri


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def stratify(
    items: dsl.Input[dsl.Dataset], classifier: str, config: str, run: str, stratified: dsl.Output[dsl.Dataset]
) -> None:
    from pathlib import Path

    from components.platform.execution import Call, execute, store_root
    from components.platform.ledger import seal_number
    from components.platform.models import local_model
    from components.stages import stratify as stage

    settings = stage.StratifyConfig.model_validate_json(config)
    seal = seal_number(store_root())
    inputs = {"items": items.path, "classifier": classifier, "seal": f"digest:{seal}"}
    call = Call("stratify", run, settings, inputs, datasets={"items": "evaluation"})
    product = execute(
        call,
        lambda out: stage.stratify(
            [Path(items.path)], local_model(classifier), settings, out / "items.parquet", seal_number=seal
        ),
    )
    product.save("items.parquet", stratified.path)
    stratified.metadata.update(product.metadata)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def curate(
    train: dsl.Input[dsl.Dataset],
    items: dsl.Input[dsl.Dataset],
    classifier: str,
    config: str,
    run: str,
    sft_mix: dsl.Output[dsl.Dataset],
    rl_mix: dsl.Output[dsl.Dataset],
    curation: dsl.Output[dsl.Artifact],
) -> None:
    from pathlib import Path

    from components.platform.execution import Call, execute
    from components.platform.models import local_model
    from components.stages import curate as stage

    settings = stage.CurateConfig.model_validate_json(config)
    inputs = {"train": train.path, "items": items.path, "classifier": classifier}
    call = Call("curate", run, settings, inputs, datasets={"train": "train", "items": "decontamination"})
    product = execute(
        call,
        lambda out: stage.curate(Path(train.path), Path(items.path), local_model(classifier), settings, out),
    )
    for artifact, name in ((sft_mix, "sft.parquet"), (rl_mix, "rl.parquet"), (curation, "curation.json")):
        product.save(name, artifact.path)
        artifact.metadata.update(product.metadata)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def sft(mix: dsl.Input[dsl.Dataset], model: str, config: str, run: str) -> str:
    from pathlib import Path

    from components.platform.execution import Call, execute, resume_uri
    from components.platform.lineage import code_digest
    from components.stages import sft as stage

    settings = stage.SftConfig.model_validate_json(config)
    call = Call("sft", run, settings, {"mix": mix.path, "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.sft")
    return execute(call, lambda out: stage.sft(Path(mix.path), model, settings, resume_uri(call), out, code)).uri


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def grpo(mix: dsl.Input[dsl.Dataset], model: str, config: str, run: str) -> str:
    from pathlib import Path

    from components.platform.execution import Call, execute, resume_uri
    from components.platform.lineage import code_digest
    from components.stages import grpo as stage

    settings = stage.GrpoConfig.model_validate_json(config)
    call = Call("grpo", run, settings, {"mix": mix.path, "model": model}, datasets={"mix": "train"})
    code = code_digest("components.stages.grpo")
    return execute(call, lambda out: stage.grpo(Path(mix.path), model, settings, resume_uri(call), out, code)).uri


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def evaluate(
    items: dsl.Input[dsl.Dataset], model: str, name: str, config: str, run: str, answers: dsl.Output[dsl.Dataset]
) -> None:
    from pathlib import Path

    from components.platform import store
    from components.platform.execution import Call, execute, journal_uri
    from components.platform.registry import absent
    from components.platform.tables import write_rows
    from components.stages import evaluate as stage

    settings = stage.EvaluateConfig.model_validate_json(config)
    nobody = absent(model)
    # A registry alias can move; what it points to now is the input.
    inputs = {"items": items.path, "model": "digest:absent" if nobody else model, "name": f"digest:{name}"}
    call = Call("evaluate", run, settings, inputs, name=f"evaluate-{name}", datasets={"items": "evaluation"})

    def work(out: Path) -> dict:
        if not nobody:
            table = out / "answers.parquet"
            return stage.evaluate(Path(items.path), model, name, settings, table, journal_uri("evaluate"))
        write_rows([], out / "answers.parquet")
        return {"model": model, "absent": True, "rows_in": 0, "rows_out": 0}

    product = execute(call, work)
    if product.evidence.get("journal"):
        store.delete_prefix(product.evidence["journal"])
    product.save("answers.parquet", answers.path)
    answers.metadata.update(product.metadata)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def compare(
    items: dsl.Input[dsl.Dataset],
    base: dsl.Input[dsl.Dataset],
    sft: dsl.Input[dsl.Dataset],
    grpo: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Dataset],
    registered: str,
    config: str,
    run: str,
    scores: dsl.Output[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    from pathlib import Path

    from components.platform import ledger, tables
    from components.platform.execution import Call, execute, run_id, store_root
    from components.stages import compare as stage

    settings = stage.CompareConfig.model_validate_json(config)
    answers = [Path(a.path) for a in (base, sft, grpo, champion) if tables.has_rows(a.path)]
    baseline = "champion" if tables.has_rows(champion.path) else "base"
    root, seal = store_root(), ledger.seal_number(store_root())
    wanted = stage.challenge(Path(items.path), answers, baseline, "grpo", settings, registered, seal)
    look = ledger.reserve(root, wanted, run_id(run))
    inputs = {f"answers_{k}": str(path) for k, path in enumerate(answers)}
    inputs |= {"items": items.path, "baseline": f"digest:{baseline}", "look": f"digest:{look}"}
    inputs["seal"] = f"digest:{seal}"
    call = Call("compare", run, settings, inputs, datasets={"items": "evaluation"})
    product = execute(
        call,
        lambda out: stage.compare(
            Path(items.path), answers, baseline, "grpo", settings, out, look=look, seal_number=seal
        ),
    )
    product.save("scores.json", scores.path)
    product.save("decision.json", decision.path)
    decision.metadata.update({**product.metadata, "ledger_key": wanted.key, "look": look})
    for key, value in product.evidence.get("metrics", {}).items():
        metrics.log_metric(key, value)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def report(
    items: dsl.Input[dsl.Dataset],
    base: dsl.Input[dsl.Dataset],
    sft: dsl.Input[dsl.Dataset],
    grpo: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Dataset],
    scores: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    curation: dsl.Input[dsl.Artifact],
    classifier: str,
    sft_uri: str,
    grpo_uri: str,
    config: str,
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    from pathlib import Path

    from components.platform import store, tables
    from components.platform.execution import Call, execute, store_root
    from components.platform.ledger import seal_number
    from components.stages import report as stage

    settings = stage.ReportConfig.model_validate_json(config)
    answers = {name: Path(a.path) for name, a in (("base", base), ("sft", sft), ("grpo", grpo), ("champion", champion))}
    answers = {name: path for name, path in answers.items() if tables.has_rows(path)}
    inputs = {f"answers_{name}": str(path) for name, path in answers.items()}
    inputs |= {"items": items.path, "scores": scores.path, "decision": decision.path, "curation": curation.path}
    seal = seal_number(store_root())
    inputs |= {"classifier": classifier, "sft": sft_uri, "grpo": grpo_uri, "seal": f"digest:{seal}"}
    call = Call("report", run, settings, inputs)

    def work(out: Path) -> dict:
        made = out / "inputs"
        made.mkdir()
        store.get_file(classifier, "classifier.json", made / "classifier.json")
        histories = {"sft": made / "sft.json", "grpo": made / "grpo.json"}
        for name, uri in (("sft", sft_uri), ("grpo", grpo_uri)):
            store.put_json(str(histories[name]), store.get_json(f"{uri}/evidence.json")["history"])
        return stage.report(
            scores=Path(scores.path),
            decision=Path(decision.path),
            items=Path(items.path),
            answers=list(answers.values()),
            classifier=made / "classifier.json",
            curation=Path(curation.path),
            histories=histories,
            config=settings,
            out_dir=out,
            lineage={"classifier": classifier, "sft": sft_uri, "grpo": grpo_uri},
            seal_number=seal,
        )

    product = execute(call, work)
    product.save("report.html", page.path)
    product.save("report.md", summary.path)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def register(
    model: str,
    decision: dsl.Input[dsl.Artifact],
    scores: dsl.Input[dsl.Artifact],
    recipe: str,
    config: str,
    run: str,
) -> str:
    from pathlib import Path

    from components.platform.execution import Call, execute
    from components.platform.registry import identity
    from components.stages import register as stage

    settings = stage.RegisterConfig.model_validate_json(config)
    inputs = {"model": model, "decision": decision.path, "recipe": f"digest:{recipe}"}
    inputs["registry"] = f"digest:{identity()}"
    call = Call("register", run, settings, inputs)
    context = {"ledger_key": decision.metadata.get("ledger_key", "")}
    product = execute(
        call,
        lambda out: stage.register(model, Path(decision.path), Path(scores.path), recipe, context, settings, out),
    )
    return product.evidence["version"]
