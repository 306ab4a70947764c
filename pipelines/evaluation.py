"""The evaluation pipeline, top to bottom: the models of a recipe, each in shards, side by side in one report."""

from collections.abc import Sequence
from typing import Any

from kfp import dsl

from components.ops import evaluation as evaluation_ops
from components.ops import training as ops
from components.platform.models import ENDPOINT
from components.platform.storage.plan import Plan, PlannedModel
from pipelines.guarded import guarded, limits
from pipelines.placement import ENDPOINTS, HUB, hub_for, place
from pipelines.settings.evaluation_recipe import EvaluationRecipe
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import Profile, Role

NAME = "biomed-r1-evaluation"


def evaluation_pipeline(recipe: EvaluationRecipe, profile: Profile) -> Any:
    """The KFP pipeline of a recipe on a profile; its settings are in the plan, as in a training."""
    plan = plan_of(recipe, profile)

    @dsl.pipeline(name=NAME, description=recipe.description, pipeline_config=limits(profile))
    def evaluation() -> None:
        with guarded(plan, profile) as (checks, last):
            last.append(_stages(plan, recipe.classifier, profile, checks))

    return evaluation


def _stages(
    plan: Plan, classifier: str | None, profile: Profile, checks: Sequence[dsl.PipelineTask]
) -> dsl.PipelineTask:
    """The tasks between doctor and receipts; returns the last of them."""
    told = {"plan": plan.digest, "run": dsl.PIPELINE_JOB_ID_PLACEHOLDER}

    data = ops.ingest(**told).after(*checks)
    place(data, "cpu", profile, "Ingest question sets", asks=HUB)

    line: Any = classifier
    if "classify" in plan.stages:
        trained = ops.classify(data=data.output, **told)
        place(
            trained,
            "classifier",
            profile,
            "Train the reasoning classifier",
            asks=hub_for(plan.stages["classify"]["model"]),
        )
        line = trained.outputs["Output"]

    strata = ops.stratify(data=data.output, classifier=line, **told)
    place(strata, "classifier", profile, "Split reasoning from knowledge", asks=hub_for(classifier))
    items = strata.output

    hosted = [model for model in plan.models if str(model.reference).startswith(ENDPOINT)]
    merged = evaluation_ops.merge_shards(
        items=items,
        shards=_answered([model for model in plan.models if model not in hosted], plan, profile, "generator", strata),
        # A model behind an endpoint needs no GPU here.
        hosted=_answered(hosted, plan, profile, "cpu", strata),
        **told,
    )
    place(merged, "cpu", profile, "Merge the shards of every model")
    answers = {"items": items, "answers": merged.output, **told}

    scored = evaluation_ops.score_models(**answers)
    place(scored, "cpu", profile, "Score every model")

    page = evaluation_ops.report_models(scored=scored.outputs["Output"], classifier=line, **answers)
    place(page, "cpu", profile, "Write the report")
    return page


def _answered(models: Sequence[PlannedModel], plan: Plan, profile: Profile, role: Role, strata: Any) -> Any:
    """Where the answers of every shard of these models are: one task each, side by side.

    A shard finds the questions by the receipt of `stratify`: KFP's local runner (2.17) puts the loop's item in the
    place of every parameter that a loop takes from another task.
    """
    # Texts, and everything else from the plan: a loop over mappings inside an exit handler asks the root for
    # parameters that it does not have (kubeflow/pipelines#13273), and what is written here is stored once a shard.
    parts = [f"{model.name}/{number}" for model in models for number in range(plan.shards)]
    if not parts:
        return []
    references = [model.reference for model in models]
    # One machine holds one model at a time; a cluster's queue decides for itself.
    with dsl.ParallelFor(parts, parallelism=None if profile.cluster else 1, name=f"models-by-shards-{role}") as part:
        task = evaluation_ops.evaluate_shard(part=part, plan=plan.digest, run=dsl.PIPELINE_JOB_ID_PLACEHOLDER).after(
            strata
        )
        where, asks = (" behind an endpoint", ENDPOINTS) if role == "cpu" else ("", hub_for(*references))
        place(task, role, profile, f"Evaluate one shard of one model{where}", asks=asks)
    return dsl.Collected(task.output)
