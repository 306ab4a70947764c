"""A recipe of either kind, training or evaluation: loaded, told apart, and asked for what both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from components.errors import InputError
from components.platform.config import read_yaml
from components.platform.models import ENDPOINT
from pipelines.settings.evaluation_recipe import EvaluationRecipe, is_evaluation, load_evaluation_recipe
from pipelines.settings.shared import shipped_or_file
from pipelines.settings.training_recipe import TrainingRecipe, load_training_recipe

AnyRecipe = TrainingRecipe | EvaluationRecipe


def load_any_recipe(
    name: str, changes: Sequence[str] = (), data: str | None = None, models: str | None = None
) -> AnyRecipe:
    """A recipe of either kind, told apart by what it lists; raises InputError naming the key.

    `models` names those that an evaluation is to keep, with commas between them.
    """
    evaluation = is_evaluation(read_yaml(shipped_or_file(name, "recipes")))
    recipe = (load_evaluation_recipe if evaluation else load_training_recipe)(name, changes, data)
    return recipe if models is None else _restricted(recipe, [model.strip() for model in models.split(",")])


def strata_changes(name: str, labels: str | None, classifier: str | None) -> list[str]:
    """The `path=value` changes of a recipe by which it takes its labels, or its classifier, from elsewhere."""
    changes = [f"ingest.labels_from={json.dumps(labels)}"] if labels else []
    if classifier and is_evaluation(read_yaml(shipped_or_file(name, "recipes"))):
        changes += ["classify=null", f"classifier={json.dumps(classifier)}"]
    elif classifier:
        changes += ["classify.learner=released", f"classify.model={json.dumps(classifier)}"]
    return changes


def parse_recipe(text: str) -> AnyRecipe:
    """The recipe, of either kind, that a run wrote as JSON."""
    return (
        EvaluationRecipe.model_validate_json(text)
        if is_evaluation(json.loads(text))
        else (TrainingRecipe.model_validate_json(text))
    )


def pipeline_of(recipe: AnyRecipe) -> Literal["training", "evaluation"]:
    """The pipeline that a recipe is for."""
    return "evaluation" if isinstance(recipe, EvaluationRecipe) else "training"


def model_references(recipe: AnyRecipe) -> list[str]:
    """Every model that a recipe of either kind starts from, its classifier's among them."""
    if isinstance(recipe, TrainingRecipe):
        return [recipe.base_model, recipe.classify.model]
    line = recipe.classify.model if recipe.classify else recipe.classifier
    return [*(entry.model for entry in recipe.models), str(line)]


def key_variables(recipe: AnyRecipe) -> list[str]:
    """The environment variables in which the endpoints of a recipe have their keys, each once."""
    hosted = [m for m in recipe.models if m.model.startswith(ENDPOINT)] if isinstance(recipe, EvaluationRecipe) else []
    return list(dict.fromkeys(entry.evaluate.api_key_env for entry in hosted))


def _restricted(recipe: AnyRecipe, names: Sequence[str]) -> EvaluationRecipe:
    if isinstance(recipe, TrainingRecipe):
        raise InputError(f"--models: recipe {recipe.name} trains a model and lists none to choose from")
    known = [entry.name for entry in recipe.models]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"--models {', '.join(unknown)}: not in recipe {recipe.name}, which has {', '.join(known)}")
    return recipe.model_copy(update={"models": tuple(entry for entry in recipe.models if entry.name in names)})
