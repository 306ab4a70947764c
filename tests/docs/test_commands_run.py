"""The commands of the pages are run: here, by the tests named below, or not at all, with the reason."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import report_run
from click.testing import CliRunner
from doc_commands import ROOT, Command, commands

from components.platform.tables import read_items, write_items, write_rows
from pipelines.cli.main import cli

PAGES = [str(p.relative_to(ROOT)) for p in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))]
# The page's place-holders, and what stands for them here.
STANDS_FOR = {"ITEM_ID": "medqa-0"}
HERE = [c for page in ("docs/evaluate.md", "docs/samples.md", "docs/classifier.md") for c in commands(page) if c.ours]
# What runs a command of a page elsewhere, by its first words; what stands in none of these is run here.
ELSEWHERE = {
    "README.md .venv/bin/biomed-r1": "tests/examples/test_examples.py",
    "docs/evaluate.md biomed-r1 run": "tests/pipelines/test_evaluation_run.py, tests/pipelines/test_available.py",
    "docs/evaluate.md biomed-r1 stratify": "tests/examples/test_examples.py",
    "docs/evaluate.md biomed-r1 doctor": "tests/pipelines/test_doctor.py",
    "docs/evaluate.md OPENAI_API_KEY=KEY biomed-r1 evaluate": "tests/engines/test_openai_engine.py",
    "docs/classifier.md biomed-r1 classify": "tests/examples/test_examples.py",
    "docs/classifier.md biomed-r1 stratify": "tests/stages/test_stratify.py",
    "docs/operate.md biomed-r1 models": "tests/serving/test_models.py",
    "docs/operate.md biomed-r1 promote": "tests/serving/test_models.py, tests/serving/test_promote.py",
    "docs/operate.md biomed-r1 rollback": "tests/serving/test_models.py",
    "docs/operate.md biomed-r1 gc": "tests/serving/test_collect.py",
    "docs/operate.md biomed-r1 pin": "tests/pipelines/test_pins.py",
    "docs/operate.md biomed-r1 stage": "tests/pipelines/test_staging.py",
    "docs/operate.md biomed-r1 compile": "tests/pipelines/test_compile.py",
    "docs/train.md biomed-r1 run": "tests/pipelines/test_whole_runs.py",
    "docs/train.md biomed-r1 doctor": "tests/pipelines/test_memory_sum.py",
    "docs/train.md biomed-r1 curate": "tests/stages/test_curate.py",
    "docs/train.md biomed-r1 sft": "tests/stages/test_sft.py",
    "docs/train.md biomed-r1 grpo": "tests/stages/test_grpo.py",
}
# What no test runs, and why.
NOT_RUN = {
    "make": "runs this suite, or installs from the network",
    "cp": "copies a folder of the repository",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the pages' commands name."""
    monkeypatch.chdir(tmp_path)
    options = {"first": "iron", "second": "zinc", "third": "lead"}
    rows = [{"id": f"e{n}", "stem": f"Which metal is number {n}?", **options, "key": "B"} for n in range(4)]
    with open("exam.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    named = dict(zip(("stem", "first", "second", "third", "key"), ("question", "A", "B", "C", "answer"), strict=True))
    text = Path("exam.csv").read_text(encoding="utf-8")
    for old, new in named.items():
        text = text.replace(old, new, 1)
    with gzip.open("exam.csv.gz", "wt", encoding="utf-8") as packed:
        packed.write(text)
    Path("FOLDER").mkdir()
    bad = {"id": "bad", "question": "No options?", "answer": "B"}
    good = {"id": "e0", "question": "Which one?", "options": {"A": "iron", "B": "zinc"}, "answer_idx": "B"}
    lines = [json.dumps({**row, "dataset_name": "own"}) + "\n" for row in (good, bad)]
    Path("FOLDER/own.jsonl").write_text("".join(lines), encoding="utf-8")
    items = report_run.make_items(per_benchmark=4)
    items = [item.with_(meta={**item.meta, "body_system": ("heart", "lung")[n % 2]}) for n, item in enumerate(items)]
    write_items(items, Path("strata.parquet"))
    Path("answers").mkdir()
    metadata = report_run.make_metadata(items, "base")
    write_rows(report_run.make_answers(items, "base"), Path("answers/answers.parquet"), metadata)
    return tmp_path


def run(command: Command, stands_for: Mapping[str, str], *more: str) -> str:
    """The output of a command of a page, in this process; fails where it does not end well."""
    words = [stands_for.get(word, word) for word in command.ours or []]
    result = CliRunner().invoke(cli, [*words, *more], catch_exceptions=False)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.output


def lines_of(verb: str, needs: str = "") -> list[Command]:
    return [command for command in HERE if (command.ours or [""])[0] == verb and command.needs == needs]


def test_the_commands_that_take_seconds_run_as_they_stand_there(folder: Path) -> None:
    mapped, dropped = (run(command, STANDS_FOR) for command in lines_of("ingest"))
    assert mapped.startswith("4 items from 1 files") and "1 rows dropped" in dropped
    for command in (*lines_of("score"), *lines_of("export")):
        few = ["--set", "draws=100"] if "--out scores.json" in command.line else []
        run(command, STANDS_FOR, *few)
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert {record["column"] for record in scores["slices"]} >= {"body_system"}
    assert {path.name for path in folder.iterdir()} >= {"tasks", "inspect-task", "environment", "published-columns"}


def test_the_sheet_of_labels_is_drawn_and_read(folder: Path) -> None:
    draw, read = lines_of("label-sample")
    run(draw, STANDS_FOR, "--set", "size=24", "--set", "bins=1")
    sheet = folder / "labelling" / "label-sheet.csv"
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["label_1"] = row["label_2"] = ("Reasoning", "Understanding")[number % 2]
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert "kappa 1.00" in run(read, STANDS_FOR)
    assert any(item.question_type for item in read_items(folder / "labelled.parquet"))


@pytest.mark.slow
def test_the_commands_that_load_a_model_run_with_a_tiny_one(folder: Path, tiny_model: Path) -> None:
    other = folder / "other"
    shutil.copytree(tiny_model, other)
    names = {**STANDS_FOR, "REF": str(tiny_model), "REF_SERVED": str(tiny_model), "REF_NEW": str(other)}
    short = ["--set", "max_new_tokens=3", "--limit", "4", "--engine", "transformers"]
    run(lines_of("ingest", "slow")[0], names)
    run(lines_of("openings", "slow")[0], names, "--limit", "2", "--set", "max_new_tokens=8", "--set", "tries=1")
    shutil.rmtree("answers")
    for command in [c for c in lines_of("evaluate", "slow") if "openai:" not in c.line]:
        run(command, names, *short, "--overwrite")
    assert "Gate: refuse mine over served" in run(lines_of("compare", "slow")[0], names, "--set", "draws=100")


def test_every_command_is_run_or_says_why_not() -> None:
    here = {str(command) for verb in ("ingest", "score", "export", "label-sample") for command in lines_of(verb)}
    here |= {str(c) for verb in ("ingest", "openings", "evaluate", "compare") for c in lines_of(verb, "slow")}
    for command in (command for page in PAGES for command in commands(page)):
        start = f"{command.page} {' '.join(command.line.split())}"
        known = str(command) in here or command.words[0] in NOT_RUN or command.needs in ("cluster", "data")
        known = known or any(start.startswith(key) for key in ELSEWHERE)
        assert known, f"{command}: run it in a test, and say in which"
    for tests in ELSEWHERE.values():
        assert all((ROOT / test).is_file() for test in tests.split(", "))
