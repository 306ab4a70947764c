"""One model served on this machine: fetched, checked, started, ready, asked; until the block ends."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from components.errors import InputError, StageError
from components.platform.folders.deletion import remove_file
from components.platform.machine import home
from components.platform.models import local_model, stored_uri
from components.platform.processes import HOST, alive, is_free, spawn, stop, tail
from components.serving.deploy import smoke
from components.serving.deploy.local import NAME, ServerEngine, server_command, server_environment

READY_SECONDS = 900.0
ANSWER_SECONDS = 300.0


@dataclass
class Served:
    """A server that answers at `url`."""

    url: str
    log: str
    process: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    @property
    def curl(self) -> str:
        """A line for a shell that asks it something."""
        body = {"model": NAME, "messages": [{"role": "user", "content": "Lack of which vitamin causes scurvy?"}]}
        asked = shlex.quote(json.dumps(body))
        return f"curl -s {self.url}/v1/chat/completions -H 'Content-Type: application/json' -d {asked}"

    def wait(self) -> None:
        """Until the server ends, which it does not by itself: raises StageError with its last words."""
        while alive(self.process):
            time.sleep(0.5)
        raise StageError(f"the server ended; {self.log} says\n{tail(self.log)}")


@contextmanager
def served(ref: str, port: int, engine: ServerEngine | str) -> Iterator[Served]:
    """Serve a model reference on loopback for as long as the block lasts.

    Raises InputError for a reference that cannot be had, a damaged file and a port in use, StageError for a server
    that does not start or does not answer as recorded.
    """
    if not is_free(port):
        raise InputError(f"port {port} is in use by another program; choose another with --port")
    uri = _stored(ref)
    folder = local_model(uri or ref)
    log = home() / "serving" / f"serve-{port}.log"
    remove_file(log)
    process = spawn(server_command(folder, uri or ref, port, engine), log, server_environment())  # type: ignore[arg-type]
    server = Served(f"http://{HOST}:{port}", str(log), process)
    try:
        _until_ready(server)
        server.warnings += _smoke(server, uri, ref)
        yield server
    finally:
        if alive(process):
            stop(process["pid"], 30)


def _stored(ref: str) -> str:
    """The URI of a stored model that a reference names, "" for one that is not in a store."""
    if ref.startswith("s3://"):
        return ref
    if not ref.startswith("registry:"):
        return ""
    return stored_uri(ref)


def _until_ready(server: Served) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while alive(server.process):
        try:
            if httpx.get(f"{server.url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise StageError(f"the server is not ready after {READY_SECONDS:.0f} s; see {server.log}")
        time.sleep(0.2)
    raise StageError(f"the model cannot be served: {server.log} says\n{tail(server.log)}")


def _smoke(server: Served, uri: str, ref: str) -> list[str]:
    """Warnings; raises StageError where the answers are not those that were recorded."""
    recorded = smoke.read(uri) if uri else None
    if recorded is not None:
        if problems := smoke.check(server.url, uri, recorded, ANSWER_SECONDS):
            raise StageError(f"smoke test of {uri}: {'; '.join(problems)}")
        return []
    with smoke.client(ANSWER_SECONDS) as asked:
        try:
            smoke.ask(asked, server.url, NAME, [{"role": "user", "content": "Hello"}], 4)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise StageError(f"{ref}: answered nothing ({type(error).__name__}: {error}); see {server.log}") from None
    return [f"{ref}: no record of its answers, so they were not compared with those of the registered model"]
