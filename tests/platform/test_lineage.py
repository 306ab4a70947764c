"""What a stage's key hangs on: its code and its libraries, not its words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.platform import lineage

STAGES = ("ingest", "classify", "stratify", "curate", "sft", "grpo", "evaluate", "compare", "report", "register")
STAGES += ("promote", "await_deployment")
Digests = Callable[[], dict[str, str]]


def fresh() -> None:
    for cached in (lineage.code_digest, lineage._data):  # modules are cached by their text
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `components` that a test may edit."""
    folder = tmp_path / "components"
    shutil.copytree(lineage.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(lineage, "PACKAGE", folder)
    return folder


@pytest.fixture
def changed(package: Path) -> Callable[[str, str, str], set[str]]:
    """Edits one file; returns the stages whose code digest that changed."""

    def edit(file: str, old: str, new: str) -> set[str]:
        fresh()
        before = {stage: lineage.code_digest(f"components.stages.{stage}") for stage in STAGES}
        path = package / file
        text = path.read_text(encoding="utf-8")
        assert old in text, (file, old)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        fresh()
        after = {stage: lineage.code_digest(f"components.stages.{stage}") for stage in STAGES}
        fresh()
        return {stage for stage in STAGES if before[stage] != after[stage]}

    return edit


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/trainer.py", '"""What the two trainers share', '"""What both trainers share'),  # a docstring
        ("platform/storage/store.py", '"""Directories in an object store', '"""Folders in an object store'),
        ("engines/base.py", '"""Text generation', '"""Generated text'),
        ("stages/evaluate.py", 'description="', 'description="In other words: '),  # a help text
        ("stages/sft.py", "\n\n\n", "\n\n\n# a comment\n"),
        (
            "platform/tracking/registry.py",
            "no such version in the registry",
            "that version is not in the registry",
        ),  # an error
        ("report/charts.py", '"""Figures as inline SVG', '"""Pictures as inline SVG'),
        ("classifier/card.py", '"always the more frequent label"', '"the majority label"'),  # a row of a table
    ],
)
def test_words_change_no_key_of_training_or_evaluation(
    changed: Callable[[str, str, str], set[str]], file: str, old: str, new: str
) -> None:
    # The card is a product of the classifier's stages, so its table is theirs; the others do not know it.
    table = {"classify", "stratify", "curate", "report"} if file.startswith("classifier/") else set()
    assert changed(file, old, new) <= table


def test_a_colour_changes_the_report_alone(changed: Callable[[str, str, str], set[str]]) -> None:
    assert changed("report/templates/report.css.j2", "color", "/* a change */ color") <= {
        "report",
        "compare",
        "stratify",
        "register",  # its card has the report's words
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "stages"),
    [
        ("training/rows.py", "IGNORED = -100", "IGNORED = -101", {"sft", "grpo"}),
        ("stages/sft.py", '"token_accuracy"', '"right_tokens"', {"sft"}),
        ("training/rewards.py", "0.5 if extract", "0.4 if extract", {"grpo"}),
    ],
)
def test_a_trainers_constant_changes_the_trainers_alone(
    changed: Callable[[str, str, str], set[str]], file: str, old: str, new: str, stages: set[str]
) -> None:
    assert changed(file, old, new) == stages


def test_no_import_hides_from_the_key() -> None:
    """A module named in a string is reached by nobody who reads imports."""
    for path in lineage.PACKAGE.rglob("*.py"):
        assert "import_module(" not in path.read_text(encoding="utf-8"), path
