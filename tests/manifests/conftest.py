"""The rendered overlays, once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubectl import OVERLAYS, render
from postgres import PASSWORD, running_postgres


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The objects of each overlay, by its name."""
    tmp = tmp_path_factory.mktemp("kubectl")
    return {name: render(f"overlays/{name}", tmp) for name in OVERLAYS}


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
