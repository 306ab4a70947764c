"""Which models of an evaluation can be asked from here: their key is set, their weights are at hand or on the hub."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from components.errors import InputError
from components.platform.models import ENDPOINT, check_reference, hub_commit
from pipelines.settings.evaluation_recipe import EvaluatedModel, EvaluationRecipe
from pipelines.settings.pins import Commit, look_up, replaced, unpinned
from pipelines.settings.recipes import AnyRecipe

LOG = logging.getLogger(__name__)


def available(recipe: EvaluationRecipe, commit: Commit) -> tuple[EvaluationRecipe, dict[str, str]]:
    """The recipe pinned and without the models that cannot be asked from here, and {name: why} of those.

    Raises InputError when no model is left, or when the hub does not give what all of them need.
    """
    pinned, refused = look_up(unpinned(recipe), commit)
    why = {entry.name: _missing(entry, pinned, refused) for entry in recipe.models}
    left_out = {name: reason for name, reason in why.items() if reason}
    kept = tuple(entry for entry in recipe.models if entry.name not in left_out)
    if not kept:
        reasons = "\n".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"recipe {recipe.name}: none of its models can be asked from here\n{reasons}")
    smaller = recipe.model_copy(update={"models": kept})
    if needed := [refused[reference] for reference in unpinned(smaller) if reference in refused]:
        raise InputError("\n".join(needed))
    return EvaluationRecipe.model_validate(replaced(smaller.model_dump(mode="json"), pinned)), left_out


def keep_available(recipe: AnyRecipe) -> EvaluationRecipe:
    """As `available`, and say on stderr what was left out, what is evaluated and which commits it was pinned to."""
    if not isinstance(recipe, EvaluationRecipe):
        raise InputError(f"--available: recipe {recipe.name} trains a model and lists none to leave out")
    found, left_out = available(recipe, hub_commit)
    for name, reason in left_out.items():
        LOG.warning("left out %s: %s", name, reason)
    whole = {entry.name: entry.model for entry in recipe.models}
    for entry in found.models:
        if entry.model != whole[entry.name]:
            LOG.info("%s is now %s", whole[entry.name], entry.model.rpartition("@")[2])
    LOG.info("evaluates %s", ", ".join(entry.name for entry in found.models))
    return found


def tell_missing_keys(recipe: AnyRecipe) -> None:
    """Say on stderr which models will be asked without a key; no error, for a server of one's own may want none."""
    for entry in recipe.models if isinstance(recipe, EvaluationRecipe) else ():
        if reason := _missing_key(entry):
            LOG.warning("%s: %s is asked without a key; --available leaves such models out", reason, entry.name)


def _missing(entry: EvaluatedModel, pinned: Mapping[str, str], refused: Mapping[str, str]) -> str | None:
    """Why a model cannot be asked from here. What is stored can only be looked at once the servers are up."""
    if entry.model.startswith(ENDPOINT):
        return _missing_key(entry)
    if entry.model in refused:
        return refused[entry.model]
    if entry.model in pinned or entry.model.startswith(("s3://", "registry:")):
        return None
    try:
        check_reference(entry.model)
    except InputError as error:
        return str(error)
    return None


def _missing_key(entry: EvaluatedModel) -> str | None:
    variable = entry.evaluate.api_key_env
    return f"{variable} is not set" if entry.model.startswith(ENDPOINT) and not os.environ.get(variable) else None
