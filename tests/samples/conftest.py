"""The shipped questions, read once, as every test of them sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components import samples
from components.platform.tables import read_items
from components.questions.items import Item

Planted = dict[str, list[tuple[str, list[str]]]]


@pytest.fixture(scope="session")
def benchmarks() -> dict[str, list[Item]]:
    """Items by file name, which is the name of the benchmark."""
    return {path.stem: read_items(path) for path in sorted(samples.path("benchmarks").glob("*.jsonl"))}


@pytest.fixture(scope="session")
def questions(benchmarks: dict[str, list[Item]]) -> list[Item]:
    return [item for items in benchmarks.values() for item in items]


@pytest.fixture(scope="session")
def training() -> list[Item]:
    return [item for path in sorted(samples.path("train").glob("*.jsonl")) for item in read_items(path)]


@pytest.fixture(scope="session")
def planted() -> Planted:
    """`near_duplicates` and `decoys`: a training id with the benchmark ids that it resembles."""
    listed = json.loads((Path(__file__).parent / "fixtures" / "planted.json").read_text())
    return {kind: [(row["train"], row["benchmarks"]) for row in rows] for kind, rows in listed.items()}
