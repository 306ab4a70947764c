"""Fetch a model for serving: `fetch_model.py s3://… CACHE LINK`, every byte checked against the model's manifest.

KServe knows no `models:/NAME@ALIAS` and its own downloader no manifest, so the URI is resolved before
(`source_uri.py`) and fetched here. CACHE outlives the pod: what it holds already is checked again and not fetched
again. LINK then points at the model. The newest models stay in CACHE, the others go.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from components.errors import InputError, ReadableError
from components.platform.storage import store

# This one, and the one to go back to.
KEPT = 2


def main(uri: str, cache: Path, link: Path) -> None:
    """Raise InputError unless `link` then points at the complete model: configuration and safetensors."""
    if not uri.startswith("s3://"):
        raise InputError(
            f"MODEL_URI={uri!r}: name the S3 URI of a registered model version in the annotation biomed-r1/model-uri "
            "of the pod template (runbooks/serve-a-model.md)"
        )
    folder = cache / hashlib.sha256(uri.encode()).hexdigest()[:16]
    manifest = cached(uri, folder)
    where = "in the cache" if manifest else "fetched"
    if manifest is None:
        forget(cache, KEPT - 1)
        if folder.is_dir():  # damaged
            shutil.rmtree(folder)
        manifest = store.get_dir(uri, folder)
    names = [entry["path"] for entry in manifest["files"]]
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise InputError(f"{uri}: no config.json or no safetensors among {', '.join(sorted(names))}; not a model")
    os.utime(folder)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    size = sum(entry["size"] for entry in manifest["files"])
    print(f"{uri}: {len(names)} files, {size} bytes, all as in the manifest ({where})")


def cached(uri: str, folder: Path) -> dict[str, Any] | None:
    """The manifest of `uri` when `folder` holds every one of its files, byte for byte, else None."""
    manifest = store.read_manifest(uri) if folder.is_dir() else None
    for entry in manifest["files"] if manifest else ():
        path = folder / entry["path"]
        if not path.is_file() or path.stat().st_size != entry["size"] or store.file_sha256(path) != entry["sha256"]:
            print(f"{path}: differs from the manifest; fetching again")
            return None
    return manifest


def forget(cache: Path, keep: int) -> None:
    """Delete all models in `cache` but the `keep` that were used last, and what broken downloads left."""
    cache.mkdir(parents=True, exist_ok=True)
    folders = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    whole = [path for path in folders if ".partial" not in path.name]
    for path in folders:
        if path not in whole[len(whole) - keep :]:
            shutil.rmtree(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except ReadableError as error:
        sys.exit(f"fetch_model: {error}")
