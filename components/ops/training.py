"""The KFP face of the tasks: a signature with KFP's types each, and one call into `components.tasks`.

Annotations are evaluated because KFP reads them: no `from __future__ import annotations` here. Imports are inside the
functions, because compiling needs none of them.

`plan` is the digest of the run's plan, `run` KFP's id of the run; texts named after a stage's result (`data`, `items`,
`mix`, `judged`, ...) are its address in the store.
"""

import os
from typing import NamedTuple

from kfp import dsl

from components.ops.component import component

CPU_IMAGE = os.environ.get("BIOMED_R1_CPU_IMAGE", "biomed-r1-python-cpu:dev")
GPU_IMAGE = os.environ.get("BIOMED_R1_GPU_IMAGE", "biomed-r1-python-gpu:dev")


@component(CPU_IMAGE)
def ingest(plan: str, run: str) -> str:
    from components.tasks import training

    return training.ingest(plan, run)


@component(GPU_IMAGE)
def classify(data: str, plan: str, run: str, metrics: dsl.Output[dsl.ClassificationMetrics]) -> str:
    from components.tasks import training

    return training.classify(data, plan, run, metrics)


@component(GPU_IMAGE)
def stratify(data: str, classifier: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.stratify(data, classifier, plan, run)


@component(GPU_IMAGE)
def curate(plan: str, run: str) -> str:
    from components.tasks import training

    return training.curate(plan, run)


@component(GPU_IMAGE)
def sft(mix: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.sft(mix, plan, run)


@component(GPU_IMAGE)
def grpo(mix: str, model: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.grpo(mix, model, plan, run)


@component(GPU_IMAGE)
def evaluate(model: str, name: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.evaluate(model, name, plan, run)


class Judged(NamedTuple):
    """What compare hands over: the address of its result, and the ledger's key of its decision."""

    judged: str
    ledger: str


@component(CPU_IMAGE)
def compare(plan: str, run: str, decision: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics]) -> Judged:
    from components.tasks import training

    return training.compare(plan, run, decision, metrics)  # type: ignore[return-value]  # a pair, which KFP takes


@component(CPU_IMAGE)
def report(judged: str, plan: str, run: str, page: dsl.Output[dsl.HTML], summary: dsl.Output[dsl.Markdown]) -> None:
    from components.tasks import training

    training.report(judged, plan, run, page, summary)


@component(GPU_IMAGE)
def register(model: str, judged: str, ledger: str, plan: str, run: str) -> str:
    from components.tasks import training

    return training.register(model, judged, ledger, plan, run)
