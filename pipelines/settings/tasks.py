"""The names of the pipelines' tasks, apart from the pipelines so that reading them costs no import of kfp."""

from __future__ import annotations

from components.questions.sharding import task_name
from pipelines.settings.evaluation_recipe import EvaluationRecipe
from pipelines.settings.training_recipe import TrainingRecipe

# Every task must leave a receipt under its name here (design D13).
TASKS = (
    "ingest",
    "classify",
    "stratify",
    "curate",
    "sft",
    "grpo",
    "evaluate-base",
    "evaluate-sft",
    "evaluate-grpo",
    "evaluate-champion",
    "compare",
    "report",
    "register",
    "promote",
)


def expected(recipe: TrainingRecipe | EvaluationRecipe) -> tuple[str, ...]:
    """The tasks of a run of this recipe, each of which owes a receipt."""
    if isinstance(recipe, TrainingRecipe):
        return (*TASKS, "await_deployment") if recipe.await_deployment else TASKS
    before = ("ingest", *(("classify",) if recipe.classify else ()), "stratify")
    shards = (task_name(m.name, number, recipe.shards) for m in recipe.models for number in range(recipe.shards))
    return (*before, *shards, "merge", "score", "report")
