"""Servers that this machine runs in the background: start one, tell whether it lives, end it, find it a port."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

# A name of this machine that every server can bind to and be reached at.
HOST = "127.0.0.1"
# What people who use Kubeflow Pipelines have folders called as.
OWN_PACKAGES = ("biomed_r1", "components", "pipelines")
_ROOT = Path(__file__).resolve().parents[2]


def own_modules(root: Path = _ROOT) -> dict[str, str]:
    """Variables with which `python -m` finds our modules (below `root`), and no others of their names.

    Neither in the folder that a process starts in nor in PYTHONPATH, whose folders come before those of installed
    packages.
    """
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(root)]
    # A site-packages folder put first would come before the standard library.
    if str(root) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        kept = [path for path in paths if not any(_holds(Path(path), name) for name in OWN_PACKAGES)]
    else:
        kept = [str(root), *paths]
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(kept)}


def _holds(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


def spawn(
    command: Sequence[str],
    log: Path,
    extra: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> dict[str, Any]:
    """Start a command that outlives this process, its words in `log`; returns what `alive` and `stop` need.

    `pass_fds` are open files that it keeps, a lock for example.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        # A session of its own: Ctrl-C in this terminal is not the server's to handle.
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **extra},
            cwd=cwd or log.parent,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    return {"pid": process.pid, "born": _born(process.pid), "log": str(log)}


def alive(server: Mapping[str, Any] | None) -> bool:
    """Whether the process that `spawn` returned still runs; a number given to another process since does not count."""
    if not server:
        return False
    try:
        alive = psutil.Process(server["pid"]).status() != psutil.STATUS_ZOMBIE
        return alive and _born(server["pid"]) == server.get("born")
    except (psutil.NoSuchProcess, OSError):
        return False


def _born(pid: int) -> str:
    """The boot of the machine and the clock ticks from it to the start of a process.

    Unlike a time of day it stays the same when the clock is set.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    # The 22nd field; the second is the program's name in parentheses, which may hold any character.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return f"{boot} {fields[19]}"


def stop(pid: int, grace: float = 5.0) -> None:
    """End a process and its children: asked first, killed after `grace` seconds."""
    try:
        process = psutil.Process(pid)
        end([process, *process.children(recursive=True)], grace)
    except psutil.NoSuchProcess:
        return


def end(family: Sequence[psutil.Process], grace: float = 5.0) -> None:
    """End processes: asked first, killed after `grace` seconds; returns when they have ended."""
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, living = psutil.wait_procs(family, timeout=grace)
    for member in living:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(living, timeout=grace)


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of loopback that nothing holds now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def tail(log: str | Path, lines: int = 15) -> str:
    """The last lines of a log file, "" where there is none."""
    path = Path(log)
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]) if path.is_file() else ""
