"""Which single files of a folder are ours: a list beside them with each one's sha256, as it was when we wrote it.

A file that a person made, or changed since (a filled label sheet, an edited recipe), is not what the list says, and is
not replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from components.errors import InputError
from components.platform.folders.deletion import remove_file, remove_files, replacing
from components.platform.folders.marks import WRITTEN, read_mark
from components.platform.folders.outputs import others, writable

SCHEMA_VERSION = 1
# In place of a sha256: a command is writing the file, or was killed while it did.
_UNDER_WAY = ""


@contextmanager
def written(
    folder: Path, names: Sequence[str], shown: str, whole: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """While the block runs, the files `names` of `folder` are written; afterwards those that are there are listed.

    `shown` is what the person wrote ("--out DIR"). With `whole` the folder is named for nothing else. Raises InputError
    before the block for a file that is there and not as we wrote it, for a `whole` folder that holds none of ours but
    others' files (neither with `overwrite`), and for a folder that cannot be written to.
    """
    folder = Path(os.path.realpath(folder))
    new = not folder.exists()
    with writable(folder, shown):
        if not overwrite:
            _refuse(folder, names, shown, whole)
        theirs = {name: _state(folder / name) for name in names if not _ours(folder, name)}
        folder.mkdir(parents=True, exist_ok=True)
        _note(folder, dict.fromkeys(names, _UNDER_WAY))
    try:
        yield
    finally:
        # Not noted, on a full disk for example, the files stay under way: ours.
        with suppress(OSError):
            _note(folder, {name: _digest(folder / name, theirs.get(name)) for name in names})
            if new:
                remove_files(folder, ())


def _refuse(folder: Path, names: Sequence[str], shown: str, whole: bool) -> None:
    foreign = [name for name in names if (folder / name).is_file() and not _ours(folder, name)]
    if foreign:
        raise InputError(
            f"{shown}: {', '.join(foreign)} is there, and is not as biomed-r1 wrote it; name another place, move it "
            "away, or replace it with --overwrite"
        )
    if whole and not _listed(folder) and read_mark(folder) is None and (found := others(folder)):
        raise InputError(
            f"{shown}: holds files that biomed-r1 did not write ({', '.join(found)}); name a new or an empty folder, "
            "or write beside them with --overwrite"
        )


def _ours(folder: Path, name: str) -> bool:
    """Whether a file may be replaced: it is not there, or as we wrote it."""
    if not (folder / name).is_file():
        return True
    noted = _listed(folder).get(name)
    return noted == _UNDER_WAY or (noted is not None and noted == _digest(folder / name))


def _digest(path: Path, theirs: tuple[int, int] | None = None) -> str | None:
    """sha256 of a file; None where there is none, or where it still is what somebody else had there."""
    if not path.is_file() or (theirs is not None and theirs == _state(path)):
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _listed(folder: Path) -> dict[str, str]:
    try:
        value = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    files = value.get("sha256") if isinstance(value, dict) and value.get("written_by") == "biomed-r1" else None
    return {str(name): str(digest) for name, digest in files.items()} if isinstance(files, dict) else {}


def _note(folder: Path, digests: Mapping[str, str | None]) -> None:
    """Put files into the list, or take out those without a digest; a list of nothing is removed."""
    with _locked(folder):
        known = {**_listed(folder), **digests}
        kept = {name: digest for name, digest in sorted(known.items()) if digest is not None}
        if not kept:
            remove_file(folder / WRITTEN)
            return
        value = {"schema_version": SCHEMA_VERSION, "written_by": "biomed-r1", "sha256": kept}
        with replacing(folder / WRITTEN) as partial:
            partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two commands that write into one folder keep one list."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
