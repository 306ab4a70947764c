"""The KFP face of the tasks: one `@dsl.component` each, whose body is one call into `components.tasks`.

The only room inside `components` that imports kfp. KFP ships a component as its own source text, and Argo stores that
text about eleven times for each task of a run, up to a limit of 1 MB for all together: a body says where its task is
and nothing else. Annotations are evaluated because KFP reads them: no `from __future__ import annotations` here.

`plan` is the digest of the run's plan, `run` KFP's id of the run; texts named after a stage's result (`data`, `items`,
`mix`, `judged`, ...) are its address in the store.
"""

import os

from kfp import dsl

CPU_IMAGE = os.environ.get("BIOMED_R1_CPU_IMAGE", "biomed-r1-python-cpu:dev")
GPU_IMAGE = os.environ.get("BIOMED_R1_GPU_IMAGE", "biomed-r1-python-gpu:dev")


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def ingest(plan: str, run: str) -> str:
    from components.tasks import training

    return training.ingest(plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def classify(data: str, plan: str, run: str, metrics: dsl.Output[dsl.ClassificationMetrics]) -> str:
    from components.tasks import training

    return training.classify(data, plan, run, metrics)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def stratify(data: str, classifier: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.stratify(data, classifier, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def curate(data: str, items: str, classifier: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.curate(data, items, classifier, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def sft(mix: str, model: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.sft(mix, model, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def grpo(mix: str, model: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.grpo(mix, model, plan, run)


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def evaluate(items: str, model: str, name: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.evaluate(items, model, name, plan, run)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def compare(
    items: str,
    base: str,
    sft: str,
    grpo: str,
    champion: str,
    candidate: str,
    plan: str,
    run: str,
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    from components.tasks import training

    answers = dict(base=base, sft=sft, grpo=grpo, champion=champion)
    return training.compare(items, answers, candidate, plan, run, decision, metrics)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def report(
    items: str,
    base: str,
    sft: str,
    grpo: str,
    champion: str,
    judged: str,
    mix: str,
    classifier: str,
    tuned: str,
    rewarded: str,
    plan: str,
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    from components.tasks import training

    answers = dict(base=base, sft=sft, grpo=grpo, champion=champion)
    made = dict(classifier=classifier, sft=tuned, grpo=rewarded)
    training.report(items, answers, judged, mix, made, plan, run, page, summary)


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def register(model: str, judged: str, decision: dsl.Input[dsl.Artifact], plan: str, run: str) -> str:
    from components.tasks import training

    return training.register(model, judged, decision, plan, run)
