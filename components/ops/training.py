"""The KFP face of the tasks: one `@dsl.component` each, whose body is one call into `components.tasks`.

The only room inside `components` that imports kfp. KFP ships a component as its own source text, and Argo stores that
text about eleven times for each task of a run, up to a limit of 1 MB for all together: a body says where its task is
and nothing else. Annotations are evaluated because KFP reads them: no `from __future__ import annotations` here.

`plan` is the digest of the run's plan, `run` KFP's id of the run.
"""

import os

from kfp import dsl

CPU_IMAGE = os.environ.get("BIOMED_R1_CPU_IMAGE", "biomed-r1-python-cpu:dev")
GPU_IMAGE = os.environ.get("BIOMED_R1_GPU_IMAGE", "biomed-r1-python-gpu:dev")


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def ingest(
    plan: str,
    run: str,
    benchmarks: dsl.Output[dsl.Dataset],
    train: dsl.Output[dsl.Dataset],
    labels: dsl.Output[dsl.Dataset],
) -> None:
    from components.tasks import training

    training.ingest(plan, run, benchmarks, train, labels)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def classify(
    labels: dsl.Input[dsl.Dataset], plan: str, run: str, metrics: dsl.Output[dsl.ClassificationMetrics]
) -> str:
    from components.tasks import training

    return training.classify(labels, plan, run, metrics)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def stratify(
    items: dsl.Input[dsl.Dataset], classifier: str, plan: str, run: str, stratified: dsl.Output[dsl.Dataset]
) -> None:
    from components.tasks import training

    training.stratify(items, classifier, plan, run, stratified)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def curate(
    train: dsl.Input[dsl.Dataset],
    items: dsl.Input[dsl.Dataset],
    classifier: str,
    plan: str,
    run: str,
    sft_mix: dsl.Output[dsl.Dataset],
    rl_mix: dsl.Output[dsl.Dataset],
    curation: dsl.Output[dsl.Artifact],
) -> None:
    from components.tasks import training

    training.curate(train, items, classifier, plan, run, sft_mix, rl_mix, curation)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def sft(mix: dsl.Input[dsl.Dataset], model: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.sft(mix, model, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def grpo(mix: dsl.Input[dsl.Dataset], model: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.grpo(mix, model, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def evaluate(
    items: dsl.Input[dsl.Dataset], model: str, name: str, plan: str, run: str, answers: dsl.Output[dsl.Dataset]
) -> None:
    from components.tasks import training

    training.evaluate(items, model, name, plan, run, answers)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def compare(
    items: dsl.Input[dsl.Dataset],
    base: dsl.Input[dsl.Dataset],
    sft: dsl.Input[dsl.Dataset],
    grpo: dsl.Input[dsl.Dataset],
    champion: dsl.Input[dsl.Dataset],
    candidate_uri: str,
    plan: str,
    run: str,
    scores: dsl.Output[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    from components.tasks import training

    answers = {"base": base, "sft": sft, "grpo": grpo, "champion": champion}
    training.compare(items, answers, candidate_uri, plan, run, scores, decision, metrics)


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
    plan: str,
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    from components.tasks import training

    answers = {"base": base, "sft": sft, "grpo": grpo, "champion": champion}
    judged = {"scores": scores, "decision": decision, "curation": curation}
    made = {"classifier": classifier, "sft": sft_uri, "grpo": grpo_uri}
    training.report(items, answers, judged, made, plan, run, page, summary)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def register(
    model: str, decision: dsl.Input[dsl.Artifact], scores: dsl.Input[dsl.Artifact], plan: str, run: str
) -> str:
    from components.tasks import training

    return training.register(model, decision, scores, plan, run)
