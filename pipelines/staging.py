"""What a recipe takes from this machine's disk goes to the store: containers and clusters see nothing else of it.

Images hold no weights. A packaged model or a folder is stored once, under the digest of its content, and the recipe
that runs names its s3:// address; so it is that address, and not a path of this machine, which the run records.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, get_args

import yaml

from components.errors import InputError
from components.platform import models, sources
from components.platform.execution import STORE_VARIABLE
from components.platform.storage import store
from pipelines.settings.profile import Profile
from pipelines.settings.recipes import AnyRecipe, model_references

LOG = logging.getLogger(__name__)
REMOTE = ("s3://", "hf:", "registry:", "openai:")
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_S3"


def recipe_text(recipe: AnyRecipe) -> str:
    """The recipe as YAML, every value written out, so that it is the same with whatever defaults it is read."""
    return yaml.safe_dump(recipe.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def local_references(recipe: AnyRecipe) -> list[str]:
    """The models and question sets of a recipe that only this machine has, each once."""
    return [r for r in dict.fromkeys(_references(recipe)) if r != sources.SAMPLES and not r.startswith(REMOTE)]


def staged_for(recipe: AnyRecipe, profile: Profile) -> AnyRecipe:
    """As `staged`, in the store that runs of the profile use; says on stderr what is where.

    This machine may reach that store by another address than the cluster, so its own AWS_* variables come first. A
    recipe with nothing local asks nobody. Raises InputError where the store cannot be reached.
    """
    local = local_references(recipe)
    if not local:
        return recipe
    for reference in model_references(recipe):
        if reference in local:
            models.check_reference(reference)
    names = f"recipe {recipe.name} names {', '.join(local)}, which no image holds"
    root = (profile.environment.get(STORE_VARIABLE) or "").rstrip("/")
    if not root:
        raise InputError(f"{names}, and profile {profile.name} names no {STORE_VARIABLE} to store them in")
    for variable in (ENDPOINT_VARIABLE, "AWS_REGION"):
        if value := profile.environment.get(variable):
            os.environ.setdefault(variable, value)
    try:
        store.check(root)
    except InputError as error:
        raise InputError(
            f"{names}, and they could not be stored for the run: {error}. If this machine reaches that store by "
            f"another address (a port-forward), set {ENDPOINT_VARIABLE}; else use `biomed-r1 stage` with this recipe "
            "and profile where it can be reached, and start what that writes"
        ) from None
    result = staged(recipe, root)
    moved = dict(zip(_references(recipe), _references(result), strict=True))
    for reference in local:
        LOG.info("%s is stored as %s (%s)", reference, moved[reference], os.environ.get(ENDPOINT_VARIABLE, "AWS"))
    return result


def staged(recipe: AnyRecipe, root: str) -> AnyRecipe:
    """The recipe with every packaged or local model and question set replaced by its copy below `root`.

    Raises InputError for a reference that cannot work.
    """
    values = recipe.model_dump(mode="json", by_alias=True)
    values["data"] = {kind: _stored_source(source, root) for kind, source in values["data"].items()}
    return type(recipe).model_validate(_with_stored_models(values, root))


def _references(recipe: AnyRecipe) -> list[str]:
    return [recipe.data.benchmarks, recipe.data.train, *model_references(recipe)]


def _with_stored_models(value: Any, root: str) -> Any:
    """The same value with every text that names a local model replaced, wherever in a recipe it stands."""
    if isinstance(value, dict):
        return {key: _with_stored_models(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_stored_models(item, root) for item in value]
    if isinstance(value, str) and (value.startswith("package:") or os.path.isfile(f"{value}/config.json")):
        return _stored_model(value, root)
    return value


def _stored_model(reference: str, root: str) -> str:
    folder = models.local_model(reference)
    digest = models.model_digest(str(folder))
    return _put(folder, root, digest, reference)


def _stored_source(source: str, root: str) -> str:
    if source == sources.SAMPLES or source.startswith(REMOTE):
        return source
    kinds = get_args(sources.Kind)
    digest = hashlib.sha256("".join(sources.source_digest(source, kind) for kind in kinds).encode()).hexdigest()
    with tempfile.TemporaryDirectory() as made:
        for kind in kinds:
            for k, path in enumerate(sources.source_files(source, kind)):
                # Numbered, because two files in different folders may have one name; the names are part of the digest.
                target = Path(made) / kind / f"{k:04}" / path.name
                target.parent.mkdir(parents=True)
                shutil.copyfile(path, target)
        return _put(Path(made), root, digest, source)


def _put(folder: Path, root: str, digest: str, origin: str) -> str:
    uri = f"{root}/inputs/{digest[:40]}"
    if not store.exists(uri):
        store.put_dir(folder, uri, stage="inputs", key=digest[:40], inputs=[(origin, digest)], links=True)
    return uri
