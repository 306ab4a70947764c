"""The plan of a recipe on a profile: what the compiled pipeline names by its digest."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from components.errors import InputError
from components.platform.storage.plan import MAX_BYTES, Plan, PlannedModel, shared
from components.platform.tracking.registry import CHAMPION
from components.stages.await_deployment import AwaitConfig
from components.stages.merge import Asked, MergeConfig
from pipelines.settings.evaluation_recipe import EvaluationRecipe
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe, model_references
from pipelines.settings.tasks import expected
from pipelines.settings.training_recipe import TrainingRecipe

TRAINED = ("sft", "grpo")
_STAGES = ("ingest", "classify", "stratify", "curate", "sft", "grpo", "compare", "report", "score")


def plan_of(recipe: AnyRecipe, profile: Profile) -> Plan:
    """The plan of a recipe on a profile; raises InputError when it is too long for one argument of a task."""
    stages = {name: _dump(getattr(recipe, name)) for name in _STAGES if getattr(recipe, name, None) is not None}
    if isinstance(recipe, TrainingRecipe):
        references: dict[str, str | None] = {"base": recipe.base_model, **dict.fromkeys(TRAINED)}
        references["champion"] = f"registry:{recipe.register_.name}@{CHAMPION}"
        asked = {name: _dump(recipe.evaluation(name)) for name in references}
        stages |= {"register": _dump(recipe.register_), "promote": _dump(recipe.promote)}
        if recipe.awaited:
            stages["await_deployment"] = _dump(_fitting(recipe.awaited, recipe, profile))
    else:
        references = {entry.name: entry.model for entry in recipe.models}
        asked = {entry.name: _dump(entry.evaluate) for entry in recipe.models}
        stages["merge"] = _dump(_merging(recipe))
    stages["evaluate"] = shared(asked)
    tags = {"recipe": recipe.name, "recipe_digest": recipe.digest(), "profile": profile.name}
    plan = Plan(
        tags=tags | ({"description": recipe.description} if recipe.description else {}),
        data={"benchmarks": recipe.data.benchmarks, "train": recipe.data.train},
        stages=stages,
        models=tuple(PlannedModel(name=n, reference=r, evaluate=_own(asked[n], stages)) for n, r in references.items()),
        shards=getattr(recipe, "shards", 1),
        references=tuple(model_references(recipe)),
        tasks=expected(recipe),
        price_per_gpu_hour=profile.price_per_gpu_hour,
        trainer=_trainer(profile) if isinstance(recipe, TrainingRecipe) else {},
    )
    if (size := len(plan.text.encode())) > MAX_BYTES:
        raise InputError(
            f"recipe {recipe.name}: its settings are {size} bytes, and a cluster's task takes {MAX_BYTES} as one "
            "argument; evaluate fewer models, or in fewer shards, with one recipe"
        )
    return plan


def _fitting(awaited: AwaitConfig, recipe: TrainingRecipe, profile: Profile) -> AwaitConfig:
    """Raise InputError where the task would be ended by its own timeout before it gives up."""
    limit = profile.roles["cpu"].timeout_minutes
    if limit is not None and awaited.minutes >= limit:
        raise InputError(
            f"recipe {recipe.name}: await_deployment.minutes: {awaited.minutes:g} is not less than the {limit:g} that "
            f"profile {profile.name} gives a task of role cpu"
        )
    return awaited


def _trainer(profile: Profile) -> dict[str, Any]:
    """Where trainers run; what a TrainJob asks for only where there will be one."""
    place: dict[str, Any] = profile.trainer.model_dump(mode="json", exclude={"job"})
    if profile.trainer.launch == "trainjob":
        place["job"] = profile.job.model_dump(mode="json", exclude_defaults=True)
    return place


def _own(asked: dict[str, Any], stages: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if key not in stages["evaluate"]}


def _merging(recipe: EvaluationRecipe) -> MergeConfig:
    models = {
        entry.name: Asked(**{name: getattr(entry.evaluate, name) for name in Asked.model_fields})
        for entry in recipe.models
    }
    return MergeConfig(shards=recipe.shards, models=models)


def _dump(config: BaseModel) -> dict[str, Any]:
    values: dict[str, Any] = config.model_dump(mode="json")
    return values
