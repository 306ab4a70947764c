"""The evaluation pipeline, top to bottom: the models of a recipe, each in shards, side by side in one report."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import evaluation as evaluation_ops
from components.ops import training as ops
from components.platform.models import ENDPOINT
from components.stages.merge import Asked, MergeConfig
from pipelines.guarded import guarded
from pipelines.placement import place
from pipelines.settings.evaluation_recipe import EvaluatedModel, EvaluationRecipe
from pipelines.settings.profile import Profile, Role
from pipelines.settings.shared import as_json

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

    hosted = [entry for entry in recipe.models if entry.model.startswith(ENDPOINT)]
    merged = evaluation_ops.merge_shards(
        items=items,
        shards=_answered([m for m in recipe.models if m not in hosted], recipe, profile, "generator", items),
        # A model behind an endpoint needs no GPU here.
        hosted=_answered(hosted, recipe, profile, "cpu", items),
        config=as_json(_merging(recipe)),
        run=run,
    )
    place(merged, "cpu", profile, "Merge the shards of every model")
    answers = {"items": items, "answers": merged.output, "models": ",".join(entry.name for entry in recipe.models)}

    scored = evaluation_ops.score_models(config=as_json(recipe.score), run=run, **answers)
    place(scored, "cpu", profile, "Score every model")

    page = evaluation_ops.report_models(
        scores=scored.outputs["scores"], classifier=line, config=as_json(recipe.report), run=run, **answers
    )
    place(page, "cpu", profile, "Write the report")


def _answered(
    models: Sequence[EvaluatedModel], recipe: EvaluationRecipe, profile: Profile, role: Role, items: Any
) -> Any:
    """Where the answers of every shard of these models are: one task each, side by side."""
    # All values are text: KFP turns the numbers of a loop into floats.
    parts = [
        {
            "model_name": entry.name,
            "reference": entry.model,
            "settings": as_json(entry.evaluate),
            "shard": str(number),
        }
        for entry in models
        for number in range(recipe.shards)
    ]
    if not parts:
        return []
    # One machine holds one model at a time; a cluster's queue decides for itself.
    with dsl.ParallelFor(parts, parallelism=None if profile.cluster else 1, name=f"models-by-shards-{role}") as part:
        task = evaluation_ops.evaluate_shard(
            items=items,
            model=part.reference,
            name=part.model_name,
            shard=part.shard,
            shards=recipe.shards,
            config=part.settings,
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        )
        place(task, role, profile, f"Evaluate one shard of one model{' behind an endpoint' if role == 'cpu' else ''}")
    return dsl.Collected(task.output)


def _merging(recipe: EvaluationRecipe) -> MergeConfig:
    models = {
        entry.name: Asked(settings=entry.evaluate.settings, limit=entry.evaluate.limit, seed=entry.evaluate.seed)
        for entry in recipe.models
    }
    return MergeConfig(shards=recipe.shards, models=models)
