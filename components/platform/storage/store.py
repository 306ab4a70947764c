"""Directories in an object store: a manifest, written last, makes one exist.

Every function takes a URI that is `s3://bucket/prefix/...` or a local folder, with the same meaning. Single objects
and the connection itself: objects.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform import faults
from components.platform.lineage import git_revision
from components.platform.storage.objects import (
    PARALLEL_FILES,
    check,
    delete,
    get_json,
    list_children,
    list_files,
    put_json,
)
from components.platform.storage.objects import get_file as fetch
from components.platform.storage.objects import put_file as send

__all__ = ["check", "get_json", "list_children", "list_files", "put_json"]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_HASH_CHUNK = 1 << 20
# A file that differs from its manifest may have been damaged on its way here.
_READINGS = 2


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """sha256 over the paths and contents of a directory: equal for equal directories, whenever they were written."""
    entries = sorted((f["path"], f["sha256"]) for f in manifest["files"])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def put_dir(
    folder: Path,
    uri: str,
    *,
    stage: str,
    key: str,
    inputs: Sequence[tuple[str, str]] = (),
    code: str = "",
) -> dict[str, Any]:
    """Upload every file below `folder` in parallel, then the manifest; returns the manifest.

    `inputs` are (uri or name, digest) pairs, `code` the digest of the stage's code. Raises InputError for a link.
    """
    paths = sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    for path in paths:
        if path.is_symlink():
            raise InputError(f"{path}: is a link; only plain files can be stored")
    names = [p.relative_to(folder).as_posix() for p in paths]

    def upload(path: Path, name: str) -> dict[str, Any]:
        faults.point("upload")
        digest, size = send(path, f"{uri}/{name}")
        return {"path": name, "size": size, "sha256": digest}

    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        files = list(pool.map(upload, paths, names))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": stage,
        "key": key,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": code,
        "git_revision": git_revision(),
        "inputs": [list(pair) for pair in inputs],
        "files": files,
    }
    faults.point("manifest")
    put_json(f"{uri}/{MANIFEST}", manifest)
    return manifest


def read_manifest(uri: str) -> dict[str, Any] | None:
    """The manifest of a directory, or None where there is none; raises InputError for one that cannot be trusted."""
    manifest = get_json(f"{uri}/{MANIFEST}")
    if manifest is None:
        return None
    where = f"{uri}/{MANIFEST}"
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), list):
        raise DamagedError(f"{where}: not a manifest; write the directory again")
    if manifest.get("schema_version", 0) > SCHEMA_VERSION:
        raise NewerSchemaError(f"{where}: schema_version {manifest['schema_version']}: upgrade biomed-r1 to read it")
    for entry in manifest["files"]:
        name = str(entry.get("path", ""))
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
            raise DamagedError(f"{where}: path {name!r}: leads out of the directory; refused")
    return manifest


def exists(uri: str) -> bool:
    return read_manifest(uri) is not None


def get_dir(uri: str, folder: Path) -> dict[str, Any]:
    """Download a directory and verify every byte; returns its manifest.

    `folder` appears only when complete. Raises InputError where there is no manifest or a file differs from it.
    """
    manifest = read_manifest(uri)
    if manifest is None:
        raise DamagedError(f"{uri}: no {MANIFEST}: nothing complete was stored there")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()

    def download(entry: Mapping[str, Any]) -> None:
        source, target = f"{uri}/{entry['path']}", partial / entry["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_READINGS):
            if not fetch(source, target):
                raise DamagedError(f"{source}: missing, although the manifest lists it; store the directory again")
            if target.stat().st_size == entry["size"] and file_sha256(target) == entry["sha256"]:
                return
        raise DamagedError(f"{source}: differs from its manifest (size or sha256); it is damaged, store it again")

    try:
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            list(pool.map(download, manifest["files"]))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def get_file(uri: str, name: str, path: Path) -> None:
    """Fetch one file of a stored directory and verify it; raises InputError as `get_dir` does."""
    manifest = read_manifest(uri)
    entry = next((f for f in (manifest or {}).get("files", []) if f["path"] == name), None)
    if entry is None:
        raise DamagedError(f"{uri}: its {MANIFEST} is missing or lists no {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    if not fetch(f"{uri}/{name}", partial) or file_sha256(partial) != entry["sha256"]:
        partial.unlink(missing_ok=True)
        raise DamagedError(f"{uri}/{name}: differs from its manifest or is missing; store the directory again")
    os.replace(partial, path)


def stored_sha256(file: str) -> str:
    """The sha256 of a file of a stored directory, from its manifest; raises DamagedError where that lists none."""
    uri, _, name = file.rpartition("/")
    manifest = read_manifest(uri) or {}
    found = next((f["sha256"] for f in manifest.get("files", []) if f["path"] == name), None)
    if found is None:
        raise DamagedError(f"{uri}: its {MANIFEST} is missing or lists no {name}")
    return str(found)


def delete_prefix(uri: str) -> None:
    """Delete a directory, its manifest first, so that a half-deleted one does not exist."""
    if not uri.startswith("s3://"):
        (Path(uri) / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(uri, ignore_errors=True)
        return
    for name in (MANIFEST, *list_files(uri)):
        delete(f"{uri.rstrip('/')}/{name}")
