"""Directories in an object store: a manifest, written last, makes one exist.

Every function takes a URI that is `s3://bucket/prefix/...` or a local folder, with the same meaning. Single objects are
in objects.py.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform import faults
from components.platform.folders.deletion import replacing, workspace
from components.platform.folders.marks import MARK, inside, listed, mark_of
from components.platform.lineage import git_revision
from components.platform.storage.objects import (
    copy_file,
    delete_files,
    digest,
    get_json,
    list_children,
    list_files,
    put_json,
)
from components.platform.storage.objects import get_file as fetch
from components.platform.storage.objects import put_file as send
from components.platform.storage.parts import Parts
from components.platform.storage.s3 import PARALLEL_FILES, check

__all__ = ["check", "get_json", "list_children", "list_files", "put_json"]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
# A file that differs from its manifest may have been damaged on its way here.
_READINGS = 2
ALL_HERE = Parts()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    links: bool = False,
    beside: str = "",
    parts: Parts = ALL_HERE,
    first: str = "",
) -> dict[str, Any]:
    """Upload every file below `folder` in parallel, then the manifest; returns the manifest.

    The files of the stored directory `beside`, if one is named, become this one's too, copied by the store.

    Before them goes a mark with their names: `delete_prefix` can then tell a half upload from other people's files.
    `inputs` are (uri or name, digest) pairs, `code` the digest of the stage's code; with `links` a link to a file is
    stored as that file, which is how the hub's cache holds a model. `parts` are the machines that each hold some of the
    files; `first` is a file that is there before any other is replaced. Raises InputError for another link, and before
    any upload for a name that no directory can be read back with.
    """

    def upload(name: str) -> dict[str, Any]:
        faults.point("upload")
        digest, size = send(folder / name, f"{uri}/{name}")
        return {"path": name, "size": size, "sha256": digest}

    def upload_all() -> list[dict[str, Any]]:
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            return list(pool.map(upload, (name for name in names[parts.number] if name != first)))

    names = parts.each(lambda: _names(folder, links))
    others = _files(beside) if beside else []
    parts.first(lambda: put_json(f"{uri}/{MARK}", mark_of(chain(*names, (entry["path"] for entry in others)))))
    begun = [upload(name) for name in names[parts.number] if name == first]
    files = [*begun, *_copied(beside, uri, others), *chain(*parts.each(upload_all))]
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

    def finish() -> None:
        faults.point("manifest")
        put_json(f"{uri}/{MANIFEST}", manifest)

    parts.first(finish)
    return manifest


def _files(uri: str) -> list[dict[str, Any]]:
    """What the manifest of a directory lists; raises DamagedError where there is none."""
    manifest = read_manifest(uri)
    if manifest is None:
        raise DamagedError(f"{uri}: no {MANIFEST}: nothing complete was stored there")
    return [dict(entry) for entry in manifest["files"]]


def _copied(source: str, uri: str, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of `files`, which the store has copied from one directory to another."""

    def copy(entry: dict[str, Any]) -> dict[str, Any]:
        copy_file(f"{source}/{entry['path']}", f"{uri}/{entry['path']}", int(entry["size"]))
        return entry

    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        return list(pool.map(copy, files))


def _names(folder: Path, links: bool) -> list[str]:
    """The files below a folder that are to be stored, relative to it."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    paths = [path for path in paths if path.name != MARK]
    names = [p.relative_to(folder).as_posix() for p in paths]
    for path, name in zip(paths, names, strict=True):
        if path.is_symlink() and not (links and path.is_file()):
            raise InputError(f"{path}: is a link{' to no file' if links else ''}; only plain files can be stored")
        if reason := _unusable(name):
            raise InputError(f"{path}: {reason}; rename it or leave it out")
    return names


def _unusable(name: str) -> str:
    """Why a stored directory cannot have a file of that name; "" where it can."""
    if name == MANIFEST:
        return f"{MANIFEST} is the store's own name for the list of a directory's files"
    if "\\" in name:
        return "a backslash in a name separates folders on some systems"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return ""


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
        if not inside(name):
            raise DamagedError(f"{where}: path {name!r}: leads out of the directory; refused")
    return manifest


def exists(uri: str) -> bool:
    return read_manifest(uri) is not None


def get_dir(uri: str, folder: Path) -> dict[str, Any]:
    """Download a directory and verify every byte; returns its manifest.

    `folder` appears only when complete. Raises InputError where there is no manifest, a file differs from it, or
    `folder` is there already and not empty.
    """
    manifest = read_manifest(uri)
    if manifest is None:
        raise DamagedError(f"{uri}: no {MANIFEST}: nothing complete was stored there")

    def download(partial: Path, entry: Mapping[str, Any]) -> None:
        target = partial / entry["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(uri, entry, target)

    with workspace(folder.parent, f".{folder.name[:80]}.partial-") as work:
        partial = work / folder.name
        partial.mkdir()
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            list(pool.map(lambda entry: download(partial, entry), manifest["files"]))
        try:
            partial.rename(folder)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); name a folder that is not there"
            ) from None
    return manifest


def get_file(uri: str, name: str, path: Path) -> None:
    """Fetch one file of a stored directory and verify it; raises InputError as `get_dir` does."""
    get_entry(uri, _entry(uri, name), path)


def get_entry(uri: str, entry: Mapping[str, Any], path: Path) -> None:
    """`get_file` for who has read the manifest: `entry` is one of its `files`."""
    with replacing(path) as partial:
        _download(uri, entry, partial)


def _download(uri: str, entry: Mapping[str, Any], target: Path) -> None:
    source = f"{uri}/{entry['path']}"
    for _ in range(_READINGS):
        if not fetch(source, target):
            raise DamagedError(f"{source}: missing, although the manifest lists it; store the directory again")
        if target.stat().st_size == entry["size"] and file_sha256(target) == entry["sha256"]:
            return
    raise DamagedError(f"{source}: differs from its manifest (size or sha256); it is damaged, store it again")


def stored_sha256(file: str) -> str:
    """The sha256 of a file of a stored directory, from its manifest; raises DamagedError where that lists none."""
    uri, _, name = file.rpartition("/")
    return str(_entry(uri, name)["sha256"])


def _entry(uri: str, name: str) -> dict[str, Any]:
    """What the manifest of a directory says of a file; raises DamagedError where it says nothing."""
    found = next((f for f in (read_manifest(uri) or {}).get("files", []) if f["path"] == name), None)
    if found is None:
        raise DamagedError(f"{uri}: its {MANIFEST} is missing or lists no {name}")
    return dict(found)


def delete_prefix(uri: str) -> None:
    """Delete the files of a stored directory, whole or half uploaded, and nothing that somebody else put beside them.

    The manifest goes first, so that a half-deleted directory does not exist, and the mark last, so that it stays ours.
    """
    if (names := own_files(uri)) is not None:
        delete_files(uri, list(dict.fromkeys((MANIFEST, *names, MARK))))


def own_files(uri: str) -> list[str] | None:
    """What `put_dir` wrote there, or was writing when it was killed, by manifest and mark; None where it never was."""
    marked = read_mark(uri)
    try:
        manifest = get_json(f"{uri}/{MANIFEST}")
    except DamagedError:
        manifest = None
    # Other programs write manifests too.
    ours = isinstance(manifest, dict) and {"schema_version", "stage", "key", "files"} <= set(manifest)
    stored = [str(entry["path"]) for entry in manifest["files"] if inside(str(entry.get("path", "")))] if ours else []
    return None if marked is None and not ours else list(dict.fromkeys([*(marked or []), *stored]))


def still_holds(uri: str, manifest: Mapping[str, Any], name: str) -> bool:
    """Whether a file of a stored directory is the one that the manifest lists, and not of a later half upload."""
    entry = next((entry for entry in manifest["files"] if entry["path"] == name), None)
    return entry is not None and digest(f"{uri}/{name}") == (entry["size"], entry["sha256"])


def read_mark(uri: str) -> list[str] | None:
    """The files that the mark at a URI names, None where it has none of ours."""
    try:
        return listed(get_json(f"{uri}/{MARK}"))
    except DamagedError:
        return None
