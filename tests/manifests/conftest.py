"""The rendered overlays, once for all tests."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubectl import OVERLAYS, PARTS, SCRIPTS, render
from postgres import PASSWORD, running_postgres


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The objects of each overlay by its name, and there of each folder that is applied by itself."""
    tmp = tmp_path_factory.mktemp("kubectl")
    return {name: {part: render(f"overlays/{name}/{part}", tmp) for part in PARTS} for name in OVERLAYS}


@pytest.fixture(scope="session")
def rendered(parts: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """All objects of each overlay, by its name."""
    return {name: [item for objects in found.values() for item in objects] for name, found in parts.items()}


@pytest.fixture(params=OVERLAYS)
def objects(request: pytest.FixtureRequest, rendered: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The objects of one overlay."""
    return rendered[request.param]


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, int]]:
    """A PostgreSQL with the manifests' user and authentication: its programs' folder and its port."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with running_postgres() as server:
        yield server


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run one of the scripts as a program in this process; returns its exit code."""

    def run(name: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code)
                return 1
            return int(stop.code or 0)
        return 0

    return run
