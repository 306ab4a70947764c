"""examples/: each command of its page is run as it stands there, in a folder of its own."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from doc_commands import ROOT, Command, commands
from in_process import ended

from pipelines.compile import compiled
from pipelines.local.doctor import check_recipe_inputs
from pipelines.settings.profile import load_profile
from pipelines.settings.recipes import load_any_recipe

PAGE = commands("examples/README.md")
README = [command for command in commands("README.md") if command.ours]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory that has the examples as the repository's root has them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(command: Command, folder: Path, *more: str) -> str:
    """What a command of the page writes; fails with it. Ours run in this process: starting one takes two seconds."""
    program, *words = command.words
    if program.endswith("biomed-r1"):
        done = ended([*words, *more], folder, {})
        assert (done.code, done.error) == (0, None), f"{command.line}\n{done.output}"
        return done.output
    return run_apart([sys.executable, *words, *more], folder)


def run_apart(line: list[str], folder: Path) -> str:
    """The standard output of a process of its own; fails with its standard error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0, f"{shlex.join(line)}\n{result.stderr}"
    return result.stdout


def ours_apart(command: Command, folder: Path) -> str:
    return run_apart([sys.executable, "-m", "pipelines.cli", *command.words[1:]], folder)


def of(part: str, needs: str = "") -> list[Command]:
    return [command for command in PAGE if part in command.line and command.needs == needs]


def test_own_questions_are_read_scored_and_explained(folder: Path) -> None:
    ingest, score, explain = of("items.parquet")
    assert "8 items" in run(ingest, folder)
    run(score, folder, "--set", "draws=100")
    cell = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["cells"][0]
    assert (cell["n"], cell["no_answer"]) == (8, 1)
    assert "read as A" in run(explain, folder)


def test_the_gate_promotes_and_the_ledger_counts(folder: Path) -> None:
    make, first, second = of("gate-files")
    run(make, folder)
    for command, file, look in ((first, "decision.json", 1), (second, "decision-2.json", 1)):
        run(command, folder, "--set", "draws=100")
        decision = json.loads((folder / file).read_text(encoding="utf-8"))
        assert (decision["decision"], decision["look"]) == ("promote", look)
    assert any((folder / "gate-ledger").rglob("*.json"))


def test_the_endpoints_recipe_passes_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    (doctor,) = of("doctor")
    recipe = load_any_recipe(str(ROOT / doctor.words[doctor.words.index("--recipe") + 1]))
    check_recipe_inputs(recipe)


def test_the_sites_profile_compiles(folder: Path) -> None:
    (command,) = of("compile")
    run(command, folder)
    profile = load_profile(str(ROOT / "examples/site/site.yaml"))
    changes = [word for before, word in itertools.pairwise(command.words) if before == "--set"]
    expected = compiled(load_any_recipe("demo", changes), profile)
    assert (folder / "pipeline.yaml").read_text(encoding="utf-8") == expected


@pytest.mark.slow
def test_the_readmes_five_lines(folder: Path) -> None:
    printed = {command.line: ours_apart(command, folder) for command in README}
    assert "read as" in next(said for line, said in printed.items() if "--explain q1" in line)
    assert (folder / "answers/report.html").is_file()


@pytest.mark.slow
def test_the_examples_that_load_a_model(folder: Path, servers: Mapping[str, str], store_uri: str) -> None:
    ours_apart(of("items.parquet")[0], folder)
    for command in (command for command in PAGE if command.needs == "slow"):
        ours_apart(command, folder)
