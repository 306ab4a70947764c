"""`deploy --target local` with two real servers: nobody's request is lost, and bad weights serve nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from memory_target import NAME, Place
from smoke_models import ITEMS, damaged

from components.errors import ConflictError, InputError
from components.platform.processes import free_port
from components.platform.storage import objects, store
from components.serving.deploy import smoke
from components.serving.deploy.local import LocalTarget, server_command
from components.serving.deploy.machine import Deployment, Terms
from components.serving.pointer import Served

CLIENTS = 8
TERMS = Terms(ready=120, bake=0.5, drain=30, poll=0.1)


class Clients(threading.Thread):
    """CLIENTS threads that ask one question after another, each on a connection that it keeps."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.done, self.lock = url, threading.Event(), threading.Lock()
        self.answered: dict[str, int] = {}
        self.lost: list[str] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def ask(self, number: int) -> None:
        body = {
            "model": NAME,
            "messages": [{"role": "user", "content": f"Why {number}?"}],
            "max_tokens": 2 + number % 3,
        }
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not self.done.is_set():
                try:
                    answer = client.post(f"{self.url}/v1/chat/completions", json=body)
                    text = "" if answer.status_code == 200 else f"HTTP {answer.status_code} {answer.text}"
                except httpx.HTTPError as error:
                    text = repr(error)
                self.done.wait(0.2)  # room for the servers that start meanwhile
                with self.lock:
                    if text:
                        self.lost.append(text)
                    else:
                        key = answer.json()["choices"][0]["message"]["content"]
                        self.answered[key] = self.answered.get(key, 0) + 1

    def total(self) -> int:
        with self.lock:
            return sum(self.answered.values())


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, dict[str, Any]]]:
    """(folder, smoke record) of two different models; the third has the second's record and damaged weights."""
    folder = tmp_path_factory.mktemp("models")
    two = damaged(tiny_model, folder / "2", seed=2)
    bad = damaged(two, folder / "3", seed=3)
    records = {1: tiny_model, 2: two}
    found = {n: (path, smoke.record(path, ITEMS, dtype="float32", max_new_tokens=8)) for n, path in records.items()}
    assert found[1][1]["questions"] != found[2][1]["questions"]
    return {**found, 3: (bad, found[2][1])}


class LocalPlace(Place):
    """The pointer in a folder, and two real servers on this machine."""

    def __init__(self, folder: Path, models: dict[int, tuple[Path, dict[str, Any]]]) -> None:
        super().__init__(folder)
        self.models = models

        def command(path: Path, uri: str, port: int) -> list[str]:
            return [*server_command(path, uri, port, "transformers"), "--dtype", "float32"]

        self.local = LocalTarget(f"test-{folder.name}", free_port(), command=command)

    def version(self, number: int) -> Served:
        folder, recorded = self.models[number]
        uri = f"{self.root}/models/{number}"
        manifest = store.read_manifest(uri) or store.put_dir(folder, uri, stage="grpo", key=str(number))
        objects.put_json(smoke.smoke_uri(uri), recorded)
        return Served(version=str(number), uri=uri, digest=store.manifest_digest(manifest))

    def run(self, **changes: Any) -> Any:
        return Deployment(self.root, NAME, self.local, Terms(**{**TERMS.__dict__, **changes}), "test").run()


@pytest.fixture
def local_place(tmp_path: Path, models: dict[int, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPlace]:
    from components.platform import models as references

    real = references.local_model
    # A store in a folder; the references that people write name S3.
    from components.serving.deploy import local

    monkeypatch.setattr(local, "local_model", lambda uri: references._stored(uri) if "/models/" in uri else real(uri))
    made = LocalPlace(tmp_path, models)
    yield made
    made.local.down()


@pytest.mark.slow
def test_eight_clients_lose_no_request_in_a_switch_a_failed_test_and_a_rollback(local_place: LocalPlace) -> None:
    place = local_place
    one = place.promote(1)
    assert place.run().state == "accepted"
    clients = Clients(place.local.url)
    clients.start()
    try:
        _until(lambda: clients.total() > 20)
        two = place.promote(2)
        status = place.run()
        assert status.state == "accepted" and place.local.held(status.colour) == two.uri
        _until(lambda: place.local._state()["answered"].get(status.colour, 0) > CLIENTS)
        # The first one is still warm: a rollback is a short test and a switch.
        place.promote(1)
        started = time.monotonic()
        status = place.run(bake=0)
        took = time.monotonic() - started
        assert status.warm and served(place) == one.uri != two.uri
        before = clients.total()
        three = place.promote(3)
        status = place.run()
        assert (status.state, status.fault) == ("failed", "model") and "not the weights" in status.reason
        assert place.pointer().champion == one and place.pointer().rejected[0].digest == three.digest
        assert served(place) == one.uri
        _until(lambda: clients.total() > before + 20)
    finally:
        clients.done.set()
        clients.join()
    print(f"\n{clients.total()} answers, {len(clients.lost)} lost; back to a warm version in {took:.2f} s")
    assert clients.lost == []


@pytest.mark.slow
def test_a_server_that_dies_and_a_port_in_use_are_said(
    local_place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = local_place
    place.promote(1)
    monkeypatch.setattr(place.local, "command", lambda *_: ["sh", "-c", "echo cannot load: no such layer; exit 3"])
    status = place.run()
    assert (status.state, status.fault) == ("failed", "model") and "cannot load: no such layer" in status.reason
    assert place.pointer().champion is None
    with place.local.lock("a"), pytest.raises(ConflictError, match="another deployment is under way"):
        LocalTarget(place.local.folder.name).lock("b").__enter__()


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        target = LocalTarget(f"test-{tmp_path.name}", held.getsockname()[1])
        with pytest.raises(InputError, match="in use by another program"), target.lock("a"):
            raise AssertionError("a model would be loaded for nothing")
        target._write("blue.json", {"port": 1})
        with pytest.raises(InputError, match="in use by another program; choose another with --port"):
            target.switch("blue")
        assert target.live() is None


def served(place: LocalPlace) -> str:
    live = place.local.live()
    assert live is not None
    return place.local.held(live)


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
