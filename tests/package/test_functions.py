"""`import biomed_r1`: its functions give what the commands give, from lists and from DataFrames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

import biomed_r1
from components.stages.compare import CompareConfig, compare, score_files

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    """Sixty questions with strata; every third is a reasoning question."""
    rows = []
    for number in range(60):
        options = {"A": f"first {number}", "B": f"second {number}", "C": f"third {number}"}
        row = {"id": f"q{number}", "question": f"Which of the three is number {number}?", "options": options}
        rows.append({**row, "answer_idx": "ABC"[number % 3], "dataset_name": "own", "is_reasoning": number % 3 == 0})
    return rows


@pytest.fixture(scope="module")
def answers(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The old model is right in half of the questions, the new one in nine of ten."""
    rows = []
    for model, wrong in (("old", 2), ("new", 10)):
        for number, item in enumerate(items):
            for setting in SETTINGS:
                said = "C" if number % wrong == 0 and item["answer_idx"] != "C" else item["answer_idx"]
                output = f"The answer is {said}."
                rows.append({"model": model, "item_id": item["id"], "setting": setting, "output": output})
    return rows


def test_extract_takes_letters_or_texts() -> None:
    assert biomed_r1.extract("The answer is B.", {"A": "aspirin", "B": "heparin"}) == "B"
    assert biomed_r1.extract("So it must be heparin.", ["aspirin", "heparin"]) == "B"
    assert biomed_r1.extract("I do not know.", ["aspirin", "heparin"]) is None


def test_scores_are_those_of_the_command(items: Any, answers: Any, tmp_path: Path) -> None:
    files = written(items, answers, tmp_path)
    config = CompareConfig(draws=200)
    by_command = score_files(*files, config, tmp_path / "scores.json")
    assert plain(biomed_r1.score(items, answers, draws=200)) == plain(by_command)
    frames = pandas.DataFrame(items), pandas.DataFrame(answers)
    assert plain(biomed_r1.score(*frames, draws=200)) == plain(by_command)


def test_decisions_are_those_of_the_command(items: Any, answers: Any, tmp_path: Path) -> None:
    files = written(items, answers, tmp_path)
    compare(*files, "old", "new", CompareConfig(draws=200), tmp_path)
    by_command = json.loads((tmp_path / "decision.json").read_text())
    decided = plain(biomed_r1.decide(items, answers, "old", "new"))
    assert decided == {key: by_command[key] for key in decided}
    assert decided["decision"] == "refuse"  # nothing says that both were asked alike
    compared = plain(biomed_r1.compare(items, answers, "old", "new", draws=200))
    assert compared["flips"] == by_command["flips"]
    assert [d["estimate"] for d in compared["differences"]] == [d["estimate"] for d in by_command["comparisons"]]


def test_unequal_conditions_and_unknown_names_are_refused(items: Any, answers: Any) -> None:
    versions = {"old": {"prompt": "1"}, "new": {"prompt": "2"}}
    with pytest.raises(biomed_r1.InputError, match="prompt"):
        biomed_r1.decide(items, answers, "old", "new", versions=versions)
    with pytest.raises(biomed_r1.InputError, match="no answers of 'newer'"):
        biomed_r1.compare(items, answers, "old", "newer")
    with pytest.raises(biomed_r1.InputError, match="items: row 2: options"):
        biomed_r1.score([items[0], {**items[1], "options": None}], answers)


def test_ours_is_imported_where_the_working_folder_has_packages_of_that_name(tmp_path: Path) -> None:
    for name in ("components", "pipelines"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')\n")
    script = "import biomed_r1; print(biomed_r1.extract('Answer: A', ['x', 'y']))"
    command = [sys.executable, "-c", f"import sys; sys.path.append({str(ROOT)!r}); {script}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "A\n", done.stderr
    command[-1] = f"import sys; sys.path.append({str(ROOT)!r}); sys.path[0] = {str(tmp_path / 'no')!r}; {script}"
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout == "A\n"
    (tmp_path / "components" / "__init__.py").write_text("")
    command[-1] = f"import components, sys; sys.path.append({str(ROOT)!r}); {script}"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "ImportError: biomed_r1 needs its own package" in done.stderr


def written(items: Any, answers: Any, folder: Path) -> tuple[Path, list[Path]]:
    paths = folder / "items.jsonl", folder / "answers.jsonl"
    for path, rows in zip(paths, (items, answers), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths[0], [paths[1]]


def plain(record: Any) -> Any:
    return json.loads(json.dumps(record))
