"""A folder that a person names for a result (`--out`): made ours before work, and its contents replaced afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import InputError
from components.platform.folders.deletion import open_to_umask, remove_file, remove_files
from components.platform.folders.marks import MARK, read_mark, write_mark
from components.platform.machine import existing

# What a new disk holds by itself.
_NOBODYS = ("lost+found",)
# A model's folder without it is no model: gone first, there last.
_LAST = "config.json"


def check(folder: Path, option: str = "--out") -> Path:
    """The folder itself, behind any link; `option` is what the person wrote it after. Changes nothing.

    Raises InputError for a folder with files that this program did not write, and for one that cannot be written to.
    """
    found = Path(os.path.realpath(folder))
    with writable(found, f"{option} {folder}"):
        if read_mark(found) is None and (theirs := others(found)):
            raise InputError(
                f"{option} {folder}: holds files that biomed-r1 did not write ({', '.join(theirs)}); name a new or "
                "an empty folder"
            )
    return found


@contextmanager
def writable(folder: Path, shown: str) -> Iterator[None]:
    """Raise InputError for a folder that cannot be made or written to, also where the block finds that out."""
    try:
        if folder.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not os.access(existing(folder), os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        yield
    except OSError as error:
        raise InputError(f"{shown}: cannot be written ({error.strerror}); name another folder") from None


@contextmanager
def claimed(folder: Path, option: str = "--out") -> Iterator[Path]:
    """The folder itself, behind any link, made and marked as ours; as it was before where nothing comes of it.

    A mount point or a link stays what it is: only its contents are ever replaced. Raises InputError as `check` does.
    """
    found = check(folder, option)
    new = [path for path in (found, *found.parents) if not path.exists()]
    if read_mark(found) is None:
        found.mkdir(parents=True, exist_ok=True)
        write_mark(found, ())
    try:
        yield found
    finally:
        if read_mark(found) == []:
            remove_file(found / MARK)
            for path in new:
                remove_files(path, ())


def replace_contents(folder: Path, made: Path) -> None:
    """Move every file of `made` (on the same disk) into `folder`; what an earlier result left there is removed.

    Other files stay. Until the last file is there, `folder` holds no complete model.
    """
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    before = read_mark(folder) or []
    write_mark(folder, {*before, *names})
    open_to_umask(made)
    remove_files(folder, {name for name in before if name == _LAST or name not in names})
    for name in sorted(names, key=lambda name: name == _LAST):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (made / name).replace(target)
    write_mark(folder, names)


def others(folder: Path) -> list[str]:
    """Some names of what a folder holds that is not ours; empty folders and those that have our mark count for nothing.

    So a training's checkpoints may lie in the folder of its model, and an evaluation beside both.
    """
    if not folder.exists():
        return []
    found = [
        path.name
        for path in sorted(folder.iterdir())
        if path.name not in (*_NOBODYS, MARK) and (not path.is_dir() or _has_others_files(path))
    ]
    return found if len(found) <= 3 else [*found[:3], f"and {len(found) - 3} more"]


def _has_others_files(folder: Path) -> bool:
    return read_mark(folder) is None and any(path.is_file() for path in folder.rglob("*"))
