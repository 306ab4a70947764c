"""A real PostgreSQL for one test, set up as the manifests set theirs up."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "a password"


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_postgres() -> Iterator[tuple[Path, int]]:
    """A PostgreSQL with the manifests' user, database and authentication: its programs' folder and its port."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server; it is in Debian's package postgresql")
    programs, port = found[-1].parent, free_port()
    # PostgreSQL refuses to run as root, and pytest's own folders are closed to everybody else.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="biomed-r1-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, user, user)

    def call(*command: str) -> None:
        options: dict[str, Any] = {"user": user} if os.geteuid() == 0 else {}
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **options)

    initdb = [str(programs / "initdb"), "-D", "data", "-U", "mlflow", "--pwfile=password", "--auth=scram-sha-256"]
    call(*initdb, "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    call(str(programs / "pg_ctl"), "-D", "data", "-l", "log", "-w", "-o", options, "start")
    try:
        yield programs, port
    finally:
        call(str(programs / "pg_ctl"), "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)
