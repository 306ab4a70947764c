"""tests/serving/golden: what the deployer writes to a cluster or to git, and what it may do there, line by line."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import serving_golden
from serving_golden import GOLDEN


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return serving_golden.files(tmp_path_factory.mktemp("gitops"))


def compare(texts: dict[str, str]) -> None:
    difference: list[str] = []
    for name, text in texts.items():
        expected = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
        difference += difflib.unified_diff(expected, text.splitlines(), f"golden/{name}", "made", lineterm="")
    assert not difference, "\n".join(["if this is meant: `make golden`", *difference[:80]])


def test_the_objects_of_a_deployment_and_the_gitops_folder(made: dict[str, str]) -> None:
    compare(made)


def test_the_deployers_rights_and_the_admission_policy(tmp_path: Path) -> None:
    compare(serving_golden.rights(tmp_path))


def test_every_golden_file_is_compared(made: dict[str, str]) -> None:
    there = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()}
    assert there == {*made, "deployer.yaml"}
