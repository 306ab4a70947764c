"""The components that only an evaluation has."""

from typing import List  # noqa: UP035 - KFP reads this name

from kfp import dsl

from components.ops.component import component
from components.ops.training import CPU_IMAGE, GPU_IMAGE


@component(GPU_IMAGE)
def evaluate_shard(part: str, plan: str, run: str) -> str:
    from components.tasks import evaluation

    return evaluation.evaluate_shard(part, plan, run)


@component(CPU_IMAGE)
def merge_shards(
    items: str,
    shards: List[str],  # noqa: UP006
    hosted: List[str],  # noqa: UP006
    plan: str,
    run: str,
) -> str:
    from components.tasks import evaluation

    return evaluation.merge_shards(items, [*shards, *hosted], plan, run)


@component(CPU_IMAGE)
def score_models(items: str, answers: str, plan: str, run: str, metrics: dsl.Output[dsl.Metrics]) -> str:
    from components.tasks import evaluation

    return evaluation.score_models(items, answers, plan, run, metrics)


@component(CPU_IMAGE)
def report_models(
    items: str,
    answers: str,
    scored: str,
    classifier: str,
    plan: str,
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    from components.tasks import evaluation

    evaluation.report_models(items, answers, scored, classifier, plan, run, page, summary)
