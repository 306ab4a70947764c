"""Rows and command lines of anything: refused in words with a documented exit code, or done; never a traceback.

A small sample in the fast suite; the full size, 10,000 rows and 300 command lines, in the slow one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import ANSWER, ROW, command_lines, ended, lay_out, rows, text_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.platform.storage import s3
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking
from components.stages.compare import CompareConfig, score_files
from components.stages.ingest import read_source

FILE_ROWS = 10
# Failures are shown as they were found: shrinking a command line takes longer than reading it.
PHASES = (Phase.explicit, Phase.generate)
CHECKS = list(HealthCheck)


def sized(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True, phases=PHASES, suppress_health_check=CHECKS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files that command lines name; clients of the servers out of reach are forgotten afterwards."""
    made = tmp_path_factory.mktemp("fuzz")
    lay_out(made)
    caches = (s3.client, tracking._client, tracking._experiment, registry._client)
    for cache in caches:
        cache.cache_clear()
    yield made
    for cache in caches:
        cache.cache_clear()


def read(folder: Path, text: bytes) -> None:
    for kind in ("benchmarks", "train"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / "own.jsonl").write_bytes(text)
    for defects in ("strict", "drop"):
        try:
            read_source(str(folder), "benchmarks", defects)
        except InputError as error:
            assert "own.jsonl" in str(error)


def score(folder: Path, questions: bytes, answers: bytes) -> None:
    (folder / "items.jsonl").write_bytes(questions)
    (folder / "answers.jsonl").write_bytes(answers)
    try:
        score_files(
            folder / "items.jsonl", [folder / "answers.jsonl"], CompareConfig(draws=100), folder / "scores.json"
        )
    except InputError as error:
        assert ".jsonl" in str(error)


def question_rows(examples: int) -> object:
    seen = []

    @sized(examples)
    @given(found=st.lists(rows(ROW), min_size=FILE_ROWS, max_size=FILE_ROWS))
    def check(folder: Path, found: list[dict[str, object]]) -> None:
        seen.append(len(found))
        read(folder, text_of(found))

    check.seen = seen  # type: ignore[attr-defined]
    return check


def answer_rows(examples: int) -> object:
    questions = text_of([{**ROW, "id": f"q{n}"} for n in (1, 2, 3)])

    @sized(examples)
    @given(found=st.lists(rows(ANSWER), min_size=FILE_ROWS, max_size=FILE_ROWS))
    def check(folder: Path, found: list[dict[str, object]]) -> None:
        score(folder, questions, text_of(found))

    return check


def lines(examples: int) -> object:
    @sized(examples)
    @given(line=command_lines())
    def check(folder: Path, line: list[str]) -> None:
        found = ended(line, folder)
        if found.error is not None:
            raise AssertionError(f"{line}: {type(found.error).__name__}") from found.error
        assert found.code in (0, 1, 2, 3, 4), line
        assert "Traceback" not in found.output, (line, found.output)
        assert found.code == 0 or found.output.strip(), line

    return check


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["compile", "-o", "out", "--set", "a.b.c=["], "not readable as YAML"),
        (["score", "--items", "x" * 300, "--answers", "answers.jsonl", "--out", "out"], "File name too long"),
        (["doctor", "--recipe", "x" * 300], "File name too long"),
        (["stratify", "--items", "items.jsonl", "--out", "out", "--config", "x" * 300], "File name too long"),
    ],
)
def test_what_it_has_found(folder: Path, line: list[str], says: str) -> None:
    found = ended(line, folder)
    assert (found.code, found.error) == (2, None) and says in found.output


test_a_sample_of_question_rows = question_rows(30)
test_a_sample_of_answer_rows = answer_rows(10)
test_a_sample_of_command_lines = lines(20)
test_question_rows = pytest.mark.slow(question_rows(800))
test_answer_rows = pytest.mark.slow(answer_rows(200))
test_command_lines = pytest.mark.slow(lines(300))
