"""What a recipe takes from this machine's disk goes to the store: containers and clusters see nothing else of it.

Images hold no weights. A packaged model or a folder is stored once, under the digest of its content, and the recipe
that runs names its s3:// address; so it is that address, and not a path of this machine, which the run records.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, get_args

from components.platform import models, sources, store
from pipelines.evaluation_recipe import AnyRecipe

REMOTE = ("s3://", "hf:", "registry:", "openai:")


def staged(recipe: AnyRecipe, root: str) -> AnyRecipe:
    """The recipe with every packaged or local model and question set replaced by its copy below `root`.

    Raises InputError for a reference that cannot work.
    """
    values = recipe.model_dump(mode="json", by_alias=True)
    values["data"] = {kind: _stored_source(source, root) for kind, source in values["data"].items()}
    return type(recipe).model_validate(_with_stored_models(values, root))


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
        store.put_dir(folder, uri, stage="inputs", key=digest[:40], inputs=[(origin, digest)])
    return uri
