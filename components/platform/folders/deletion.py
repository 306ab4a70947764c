"""Every delete of this program, of files, folders and objects. A test refuses one anywhere else.

What is deleted was made by this program, and that is known, not guessed: a workspace carries a mark that its process
holds locked, a folder of results carries a list of the files that were written to it (marks.py), and the file that a
write began beside its target has a new name of its own. Everything else stays, whatever it is called.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.platform.folders.marks import inside

# Lies in a workspace and is locked (flock) by the process that works there, for as long as that lives.
WORKSPACE_MARK = ".biomed-r1-workspace"


@contextmanager
def workspace(parent: Path, prefix: str) -> Iterator[Path]:
    """A new, empty folder on the disk of `parent`, gone after the block.

    It lies below `parent` in a marked folder of its own, so `clear_workspaces` finds it after a SIGKILL.
    """
    parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    begun = holder / f"{WORKSPACE_MARK}.begun"
    with begun.open("w", encoding="utf-8") as mark:
        mark.write("Made by biomed-r1; removed when its process has ended.\n")
        mark.flush()
        with suppress(OSError):  # a disk without locks: then nobody else removes it either
            fcntl.flock(mark, fcntl.LOCK_EX)
        # Named so only when it is locked: without the lock it would be taken for left over.
        begun.rename(holder / WORKSPACE_MARK)
        folder = holder / "files"
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def clear_workspaces(parent: Path) -> None:
    """Remove the workspaces directly below `parent` whose processes have ended."""
    if not parent.is_dir():
        return
    for holder in parent.iterdir():
        mark = holder / WORKSPACE_MARK
        if holder.is_symlink() or mark.is_symlink() or not mark.is_file():
            continue
        # Somebody works there, or this disk cannot tell.
        with suppress(OSError), mark.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(holder, ignore_errors=True)


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[Path]:
    """A new file to write to beside `path`, moved onto it after the block: a reader never sees half of it.

    Of a link the target is written. `mode` is the file's, by default what the umask leaves of 0666.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.partial-")
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~umask() if mode is None else mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, made by `make(path)` where it is missing: it appears complete or not at all.

    Where two processes make it at once, the first one's stays.
    """
    if folder.is_dir():
        return folder
    with workspace(folder.parent, f".{folder.name[:80]}.partial-") as work:
        made = work / folder.name
        make(made)
        open_to_umask(made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files that we wrote, by their paths below `folder`, and each folder that is empty then, itself too."""
    parents = {folder}
    for name in names:
        if not inside(name):
            continue
        path = folder / name
        path.unlink(missing_ok=True)
        parents |= {parent for parent in path.parents if parent.is_relative_to(folder)}
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):  # somebody's files are in it
            parent.rmdir()


def remove_file(path: Path) -> None:
    """Remove one file of ours; nothing happens where there is none."""
    path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder inside a workspace of this process; raises ValueError for one that lies anywhere else."""
    if not any((parent / WORKSPACE_MARK).is_file() for parent in folder.absolute().parents):
        raise ValueError(f"{folder}: not in a workspace; not removed")
    shutil.rmtree(folder, ignore_errors=True)


def remove_object(client: Any, bucket: str, key: str) -> None:
    """Delete one object; the client's errors are its caller's to explain."""
    client.delete_object(Bucket=bucket, Key=key)


def open_to_umask(folder: Path) -> None:
    """Give every file below `folder` the mode that the umask leaves: safetensors writes its files 0600."""
    mode = 0o666 & ~umask()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def umask() -> int:
    """This process's umask, read without setting it: other threads may be writing."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
