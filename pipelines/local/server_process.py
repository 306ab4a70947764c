"""An embedded server as a process: started, recognised and stopped.

A server is known by the token of its home folder, which it answers with (tokens.py) and has in its environment; never
by a process id alone, which is reused, nor by a start time, which moves when the clock is set. While it lives it holds
a lock below the home folder, so that no second one opens the same files, seen from whatever namespace.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from components.platform.machine import home
from components.platform.processes import spawn as spawn_process

# In the environment of a server and its children: TOKEN:NAME.
VARIABLE = "BIOMED_R1_SERVER"


def spawn(name: str, token: str, command: Sequence[str], extra: Mapping[str, str]) -> dict[str, Any]:
    """Start a server that outlives this process; returns its process id and log."""
    log = home() / "servers" / f"{name}.log"
    # Safe path: the folder that it starts in has one called as MLflow is.
    variables = {**extra, VARIABLE: f"{token}:{name}", "PYTHONSAFEPATH": "1"}
    with _lock_file(name).open("a") as lock:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return spawn_process(command, log, variables, pass_fds=[lock.fileno()])


def holds_its_files(name: str) -> bool:
    """Whether a server of this home lives, on this machine or another that sees the same folder."""
    if not _lock_file(name).exists():
        return False
    with _lock_file(name).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def processes(name: str, token: str) -> list[psutil.Process]:
    """The processes of a server of this home that can be seen from here, its first one first."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(VARIABLE) == f"{token}:{name}":
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def listens(found: Sequence[psutil.Process], port: int) -> bool:
    """Whether one of these processes has this port: another user's server may have been quicker."""
    for process in found:
        with suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp")):
                return True
    return False


def elsewhere(found: Sequence[psutil.Process]) -> bool:
    """Whether processes live in another network namespace than this one, so that their ports are out of reach."""
    mine = _network("self")
    return any(_network(str(process.pid)) not in (mine, "") for process in found)


def _network(process: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/net")
    except OSError:
        return ""


def _lock_file(name: str) -> Path:
    return home() / "servers" / f"{name}.lock"
