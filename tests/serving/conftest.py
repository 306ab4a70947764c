"""A registered model of this test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from shelf import Shelf


@pytest.fixture
def shelf(store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A shelf in the suite's store, whose conditional writes are not tried anew (a second) before each promotion."""
    monkeypatch.setattr("components.serving.promote.check_store", lambda root: None)
    return Shelf(store_uri, tmp_path)
