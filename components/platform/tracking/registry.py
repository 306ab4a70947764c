"""The model registry in MLflow: versions whose source is an S3 URI; aliases are the pointers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from components.errors import InputError, UnavailableError
from components.platform.storage.champion import served
from components.platform.tracking.answers import explained
from components.platform.tracking.names import key as taken_key

MODEL = "biomed-r1"
CLASSIFIER = "reasoning-classifier"
CHAMPION = "champion"
# registry:NAME@ALIAS or registry:NAME#VERSION, as name, alias, version.
REFERENCE = re.compile(r"registry:([\w.-]+)(?:@([\w.-]+)|#(\d+))")
KEY_TAG = "biomed_r1.key"
CONTEXT_TAG = "biomed_r1.decided_on"
# Characters of a description; PostgreSQL refuses longer ones.
_LONGEST = 5000
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
Result = TypeVar("Result")


def source_uri(name: str, alias: str | None = None, version: str | None = None) -> str:
    """The S3 URI of a model version, by alias or by number; raises InputError where there is none.

    The champion is what the serving pointer in the store says; MLflow's alias counts where there is no pointer.
    """
    if alias == CHAMPION and (pointed := served(name)):
        return str(pointed["uri"])
    found = find(name, alias=alias, version=version)
    if found is None:
        which = f"@{alias}" if alias else f"#{version}"
        raise InputError(f"registry:{name}{which}: no such version in the registry at {_where()}")
    return str(found.source)


def find(name: str, alias: str | None = None, version: str | None = None) -> Any | None:
    """The model version an alias or number names, or None where there is none.

    Raises InputError when the server does not let this user read the registered model.
    """
    from mlflow.exceptions import MlflowException

    _check_named(name)
    try:
        if alias:
            return _client().get_model_version_by_alias(name, alias)
        return _client().get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code in _ABSENT or (error.error_code == "PERMISSION_DENIED" and not _is_registered(name)):
            return None
        if error.error_code == "PERMISSION_DENIED":
            raise InputError(
                f"registry:{name}: {explained(error)}; this user may not read the registered model {name} at {_where()}"
            ) from None
        raise


def versions(name: str) -> list[Any]:
    """Every version of a registered model, newest first; raises UnavailableError when MLflow does not answer."""

    def ask() -> list[Any]:
        found: list[Any] = []
        token = None
        while token != "":
            page = _client().search_model_versions(f"name = '{name}'", max_results=200, page_token=token or None)
            found += page
            token = page.token or ""
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    return list(_asked(name, ask))


def aliases(name: str) -> dict[str, str]:
    """Version by alias of a registered model, nothing where there is none."""

    def ask() -> dict[str, str]:
        if not _is_registered(name):
            return {}
        return {alias: str(version) for alias, version in _client().get_registered_model(name).aliases.items()}

    return _asked(name, ask)


def names() -> list[str]:
    """Every registered model that this user may read; raises UnavailableError when MLflow does not answer."""
    return _asked("", lambda: [str(model.name) for model in _client().search_registered_models(max_results=1000)])


def look_up(name: str, alias: str | None = None, version: str | None = None) -> Any | None:
    """`find`, with UnavailableError where MLflow does not answer."""
    return _asked(name, lambda: find(name, alias, version))


def set_alias(name: str, alias: str, version: str) -> None:
    """Make an alias name a version; raises UnavailableError when MLflow does not do it."""
    _asked(name, lambda: _client().set_registered_model_alias(name, alias, version))


def _asked(name: str, call: Callable[[], Result]) -> Result:
    from mlflow.exceptions import MlflowException

    _check_named(name)
    try:
        return call()
    except MlflowException as error:
        raise UnavailableError(f"registry:{name} at {_where()}: {explained(error)}") from None


def _check_named(name: str) -> None:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise InputError(f"registry:{name}: MLFLOW_TRACKING_URI is not set, so there is no registry to ask")


def _is_registered(name: str) -> bool:
    """Whether there is a registered model of that name, this user's to read or not.

    MLflow with basic-auth answers 403 for an alias or a version of a registered model that does not exist, because it
    looks for its permission first; asked for the model itself it says which of the two it is.
    """
    from mlflow.exceptions import MlflowException

    try:
        _client().get_registered_model(name)
    except MlflowException as error:
        return bool(error.error_code != "RESOURCE_DOES_NOT_EXIST")
    return True


def absent(ref: str) -> bool:
    """Whether a model reference names a registry alias or version that does not exist (yet)."""
    found = REFERENCE.fullmatch(ref)
    if found and found[2] == CHAMPION and served(found[1]):
        return False
    return found is not None and find(found[1], alias=found[2], version=found[3]) is None


def identity() -> str:
    """What tells one registry from another: when its default experiment was made (addresses change, this does not)."""
    return str(_client().get_experiment("0").creation_time)


def register(name: str, uri: str, key: str, tags: Mapping[str, str], card: str) -> str:
    """Register `uri` as a version of `name` and return its number.

    The same key gives the version it already has, with the tags that it lacks (an older program set fewer).
    """
    client = _client()
    tags = {taken_key(tag): value for tag, value in tags.items()}
    ensure_model(name)
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.tags.get(KEY_TAG) == key:
            for tag in sorted(set(tags) - set(version.tags)):
                client.set_model_version_tag(name, version.version, tag, tags[tag])
            return str(version.version)
    run_id = os.environ.get("MLFLOW_RUN_ID") or os.environ.get("BIOMED_R1_PARENT_RUN_ID")
    made = client.create_model_version(
        name, source=uri, run_id=run_id, tags={**tags, KEY_TAG: key}, description=_short(card)
    )
    return str(made.version)


def _short(text: str) -> str:
    """A description as MLflow's database takes it, without the paragraphs at its end that do not fit."""
    while len(text) > _LONGEST:
        text = text[: _LONGEST + 1].rpartition("\n\n")[0] or text[:_LONGEST]
    return text


def ensure_model(name: str) -> None:
    """Create the registered model, without versions, unless it is there: whoever creates it may write to it."""
    from mlflow.exceptions import MlflowException

    try:
        _client().create_registered_model(name, description=DESCRIPTIONS.get(name, DESCRIPTIONS["biomed-r1"]))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


DESCRIPTIONS = {
    MODEL: "Medical reasoning checkpoints trained by this pipeline. Research use only, never for clinical decisions. "
    "Every version's source is an S3 URI with a manifest.",
    CLASSIFIER: "Classifiers that tell reasoning questions from knowledge questions; each version carries the table "
    "that it was judged by. Research use only.",
}


def _where() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "(unset)")


@lru_cache(maxsize=1)
def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient()
