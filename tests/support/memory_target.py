"""A place that serves, in memory: what a deployment may meet, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.platform.storage import objects, store
from components.serving import pointer as pointers
from components.serving.deploy import smoke
from components.serving.deploy.machine import Deployment, Terms
from components.serving.deploy.status import Colour
from components.serving.deploy.target import Progress
from components.serving.pointer import Changed, Served

NAME = "biomed-r1"
QUICK = Terms(ready=0.2, bake=0, drain=0.05, poll=0.001, keep_warm=0)


class MemoryTarget:
    """Colours that are ready at once, unless `faults` say otherwise by URI: `never`, `no room`, `crash`, `trouble`."""

    name = "memory"

    def __init__(self) -> None:
        self.colours: dict[str, str] = {"blue": "", "green": ""}
        self.now: Colour | None = None
        self.faults: dict[str, str] = {}
        self.calls: list[str] = []
        self.seen: list[str] = []  # what users were served, whenever it changed

    @contextmanager
    def lock(self, by: str) -> Iterator[None]:
        yield

    def live(self) -> Colour | None:
        return self.now

    def held(self, colour: Colour) -> str:
        return self.colours[colour]

    def current(self, colour: Colour, what: Served) -> bool:
        return self.colours[colour] == what.uri

    def apply(self, colour: Colour, what: Served) -> None:
        self.calls.append(f"apply {colour}")
        self.colours[colour] = what.uri
        self._look()

    def progress(self, colour: Colour) -> Progress:
        uri = self.colours[colour]
        if not uri:
            return Progress("stopped")
        fault = self.faults.get(uri, "")
        others = [held for other, held in self.colours.items() if other != colour and held]
        if fault == "no room" and others:
            return Progress("waiting", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu", unschedulable=True)
        if fault == "crash":
            return Progress("failed", "CrashLoopBackOff: out of tokens", "model")
        if fault == "image":
            return Progress("failed", "ImagePullBackOff: no such image")
        return Progress("waiting", "loading") if fault == "never" else Progress("ready")

    def address(self, colour: Colour) -> str:
        return self.colours[colour]

    def switch(self, colour: Colour) -> None:
        self.calls.append(f"switch {colour}")
        self.now = colour
        self._look()

    def trouble(self, colour: Colour) -> str:
        return "5 of its last 9 answers were errors" if self.faults.get(self.colours[colour]) == "trouble" else ""

    def open(self, colour: Colour) -> int:
        return 0

    def stop(self, colour: Colour) -> None:
        self.calls.append(f"stop {colour}")
        self.colours[colour] = ""
        self._look()

    def pause(self, colour: Colour, seconds: float) -> None:
        pass

    def _look(self) -> None:
        served = self.colours[self.now] if self.now else ""
        if not self.seen or self.seen[-1] != served:
            self.seen.append(served)


class Place:
    """A store in a folder, versions in it, the pointer, and a target to deploy to."""

    def __init__(self, folder: Path) -> None:
        self.root, self.target = str(folder / "store"), MemoryTarget()

    def version(self, number: int) -> Served:
        """A stored model with a smoke record."""
        uri = f"{self.root}/models/{number}"
        manifest = store.read_manifest(uri)
        if manifest is None:
            folder = Path(self.root) / "made" / str(number)
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(f'{{"number": {number}}}')
            manifest = store.put_dir(folder, uri, stage="grpo", key=str(number))
            question = {"messages": [{"role": "user", "content": "?"}], "options": {"A": "a"}, "tokens": [number]}
            objects.put_json(smoke.smoke_uri(uri), {"schema_version": 1, "questions": [question] * 3})
        return Served(version=str(number), uri=uri, digest=store.manifest_digest(manifest))

    def promote(self, number: int) -> Served:
        served = self.version(number)
        changed = Changed(by="ops", at=pointers.now(), what="promoted")
        found = pointers.read(self.root, NAME)
        if found is None:
            pointers.move(self.root, NAME, None, pointers.first(changed, champion=served))
        else:
            after = found[0].after(changed, champion=served, previous=found[0].champion)
            pointers.move(self.root, NAME, found[1], after)
        return served

    def pointer(self) -> pointers.Pointer:
        found = pointers.read(self.root, NAME)
        assert found is not None
        return found[0]

    def deployment(self, **changes: Any) -> Deployment:
        terms = Terms(**{**QUICK.__dict__, **changes})
        return Deployment(self.root, NAME, self.target, terms, "test")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """`smoke.check` asks no server here: an address is the URI that is served there, and `wrong` fails."""
    made = Place(tmp_path)

    def check(url: str, uri: str, *_: Any, **__: Any) -> list[str]:
        return ["the first 8 tokens are others"] if made.target.faults.get(uri) == "wrong" else []

    monkeypatch.setattr(smoke, "check", check)
    return made
