"""Which files at an `--out` are ours: a list in the home folder with each one's sha256, as it was when we wrote it.

A file that a person made, or changed since (a filled label sheet, an edited recipe), is not what the list says, and is
not replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from components.errors import InputError
from components.platform.folders.deletion import replacing
from components.platform.folders.marks import read_mark
from components.platform.folders.outputs import others, writable
from components.platform.machine import home

LIST = "written.json"
SCHEMA_VERSION = 1
# In place of a sha256: a command is writing the file, or was killed while it did.
_UNDER_WAY = ""


@contextmanager
def written(
    folder: Path, names: Sequence[str], shown: str, whole: bool = False, overwrite: bool = False
) -> Iterator[None]:
    """While the block runs, the files `names` of `folder` are written; afterwards those that are there are listed.

    `folder` is the folder itself, behind any link; `shown` is what the person wrote ("--out DIR"). With `whole` the
    folder is named for nothing else. Raises InputError before the block for a file that is there and not as we wrote
    it, for a `whole` folder that holds others' files and none of ours (neither with `overwrite`), and for a folder that
    cannot be written to.
    """
    paths = [folder / name for name in names]
    with writable(folder, shown):
        theirs = {path: _state(path) for path in paths if path.is_file() and not _ours(path)}
        if not overwrite:
            _refuse(folder, [path.name for path in theirs], shown, whole)
    _note(dict.fromkeys(paths, _UNDER_WAY))
    try:
        yield
    finally:
        _note({path: _digest(path, theirs.get(path)) for path in paths})


def _refuse(folder: Path, theirs: Sequence[str], shown: str, whole: bool) -> None:
    if theirs:
        raise InputError(
            f"{shown}: {', '.join(theirs)} is there, and is not as biomed-r1 wrote it; name another place, move it "
            "away, or replace it with --overwrite"
        )
    known = read_mark(folder) is not None or any(Path(path).parent == folder for path in _listed())
    if whole and not known and (found := others(folder)):
        raise InputError(
            f"{shown}: holds files that biomed-r1 did not write ({', '.join(found)}); name a new or an empty folder, "
            "or write beside them with --overwrite"
        )


def _ours(path: Path) -> bool:
    """Whether a file that is there is as we wrote it, or one that a command of ours was killed over."""
    noted = _listed().get(str(path))
    return noted == _UNDER_WAY or (noted is not None and noted == _digest(path))


def _digest(path: Path, theirs: tuple[int, int] | None = None) -> str | None:
    """sha256 of a file; None where there is none, or where it still is what somebody else had there."""
    if not path.is_file() or (theirs is not None and theirs == _state(path)):
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _listed() -> dict[str, str]:
    try:
        value = json.loads((home() / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    files = value.get("sha256") if isinstance(value, dict) else None
    return {str(path): str(digest) for path, digest in files.items()} if isinstance(files, dict) else {}


def _note(digests: Mapping[Path, str | None]) -> None:
    """Put files into the list, and take out those that are gone or have no digest.

    A list that cannot be written, because the home folder's disk is full or another user's, ends no command: the files
    then count as somebody else's, and are kept.
    """
    with suppress(OSError), _locked():
        known: dict[str, str | None] = {**_listed(), **{str(path): digest for path, digest in digests.items()}}
        kept = {p: d for p, d in sorted(known.items()) if d == _UNDER_WAY or (d is not None and Path(p).is_file())}
        value = {"schema_version": SCHEMA_VERSION, "sha256": kept}
        with replacing(home() / LIST) as partial:
            partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _locked() -> Iterator[None]:
    """Two commands at once keep one list."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / f"{LIST}.lock").open("a") as lock:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
