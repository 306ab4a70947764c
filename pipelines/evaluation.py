"""The evaluation pipeline, top to bottom: the models of a recipe, each in shards, side by side in one report."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components import ops
from components.stages.merge import Asked, MergeConfig
from pipelines import evaluation_ops
from pipelines.evaluation_recipe import EvaluationRecipe
from pipelines.guard import guarded
from pipelines.placement import place
from pipelines.settings import Profile, as_json

NAME = "biomed-r1-evaluation"


def evaluation_pipeline(recipe: EvaluationRecipe, profile: Profile) -> Any:
    """The KFP pipeline of a recipe on a profile; configs are baked in, so a compiled file says all that will run."""

    @dsl.pipeline(name=NAME, description=recipe.description)
    def evaluation() -> None:
        with guarded(recipe, profile) as checks:
            _stages(recipe, profile, checks)

    return evaluation


def _stages(recipe: EvaluationRecipe, profile: Profile, checks: Sequence[dsl.PipelineTask]) -> None:
    run = dsl.PIPELINE_JOB_ID_PLACEHOLDER

    data = ops.ingest(
        sources=recipe.data.benchmarks, train_source=recipe.data.train, config=as_json(recipe.ingest), run=run
    ).after(*checks)
    place(data, "cpu", profile, "Ingest question sets")

    line: Any = recipe.classifier
    if recipe.classify:
        trained = ops.classify(labels=data.outputs["labels"], config=as_json(recipe.classify), run=run)
        place(trained, "classifier", profile, "Train the reasoning classifier")
        line = trained.outputs["Output"]

    strata = ops.stratify(items=data.outputs["benchmarks"], classifier=line, config=as_json(recipe.stratify), run=run)
    place(strata, "classifier", profile, "Split reasoning from knowledge")
    items = strata.outputs["stratified"]

    # One machine holds one model at a time; a cluster's queue decides for itself.
    with dsl.ParallelFor(_parts(recipe), parallelism=None if profile.cluster else 1, name="models-by-shards") as part:
        answered = evaluation_ops.evaluate_shard(
            items=items,
            model=part.reference,
            name=part.model_name,
            shard=part.shard,
            shards=recipe.shards,
            config=part.settings,
            run=run,
        )
        place(answered, "generator", profile, "Evaluate one shard of one model")

    merged = evaluation_ops.merge_shards(
        items=items, shards=dsl.Collected(answered.output), config=as_json(_merging(recipe)), run=run
    )
    place(merged, "cpu", profile, "Merge the shards of every model")
    answers = {"items": items, "answers": merged.output, "models": ",".join(entry.name for entry in recipe.models)}

    scored = evaluation_ops.score_models(config=as_json(recipe.score), run=run, **answers)
    place(scored, "cpu", profile, "Score every model")

    page = evaluation_ops.report_models(
        scores=scored.outputs["scores"], classifier=line, config=as_json(recipe.report), run=run, **answers
    )
    place(page, "cpu", profile, "Write the report")


def _parts(recipe: EvaluationRecipe) -> list[dict[str, str]]:
    """Every model with every shard. All values are text: KFP turns the numbers of a loop into floats."""
    return [
        {
            "model_name": entry.name,
            "reference": entry.model,
            "settings": as_json(entry.evaluate),
            "shard": str(number),
        }
        for entry in recipe.models
        for number in range(recipe.shards)
    ]


def _merging(recipe: EvaluationRecipe) -> MergeConfig:
    models = {
        entry.name: Asked(settings=entry.evaluate.settings, limit=entry.evaluate.limit, seed=entry.evaluate.seed)
        for entry in recipe.models
    }
    return MergeConfig(shards=recipe.shards, models=models)
