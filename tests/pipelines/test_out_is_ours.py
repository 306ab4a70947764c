"""Every verb with `--out` replaces what biomed-r1 wrote there and nothing else; the verbs are found, not listed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from components.errors import InputError
from components.platform.folders.written import LIST, written
from components.platform.machine import home
from pipelines.cli.main import cli

FOREIGN = "a person's own work\n"
# The names that a verb writes in a folder `--out`; a verb that is not here is tried with a file of any name.
NAMES = {
    "evaluate": "report.html",
    "report": "report.md",
    "curate": "sft.parquet",
    "label-sample": "label-sheet.csv",
    "compare": "scores.json",
    "register": "model_card.md",
}


def verbs() -> Iterator[tuple[str, click.Command]]:
    """Every command of the program that takes `--out`, by its words."""

    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        if any("--out" in parameter.opts for parameter in command.params):
            yield " ".join(words), command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from walk(found, (*words, name))

    return walk(cli, ())


VERBS = dict(verbs())


def takes_a_file(verb: str) -> bool:
    """Whether its `--out` is a file; of a verb that takes both the folder is tried."""
    out = next(parameter for parameter in VERBS[verb].params if "--out" in parameter.opts)
    return isinstance(out.type, click.Path) and not out.type.dir_okay


def words(command: click.Command, out: Path, readable: Path) -> list[str]:
    """A command line with a value for all that is required: the check comes before any of these is looked at."""
    found = ["--out", str(out)]
    for parameter in command.params:
        if not parameter.required or "--out" in parameter.opts:
            continue
        choices = getattr(parameter.type, "choices", None)
        value = str(choices[0]) if choices else str(readable)
        found += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    if command.name in ("sft", "grpo"):
        found += ["--checkpoints", str(out.parent / "checkpoints")]
    return found


def ended(verb: str, out: Path, *more: str) -> BaseException | None:
    readable = out.parent / "readable.jsonl"
    readable.write_text("{}\n")
    given = [*words(VERBS[verb], out, readable), *more]
    return CliRunner().invoke(VERBS[verb], given, catch_exceptions=True).exception


@pytest.mark.parametrize("verb", VERBS)
def test_a_tilde_is_the_user_s_folder_and_an_empty_name_is_none(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--out=~/x` is not a shell's to replace; `--out "$UNSET"` would be the working folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/there.jsonl").write_text(FOREIGN)
    (tmp_path / "readable").write_text("{}\n")
    line = words(VERBS[verb], Path("~/there/there.jsonl" if takes_a_file(verb) else "~/there"), tmp_path / "readable")
    error = CliRunner().invoke(VERBS[verb], line).exception
    assert isinstance(error, InputError) and "there.jsonl" in str(error), error
    assert not (tmp_path / "~").exists()
    line[1] = " "
    done = CliRunner().invoke(VERBS[verb], line)
    required = next(parameter.required for parameter in VERBS[verb].params if "--out" in parameter.opts)
    assert not required or (done.exit_code == 2 and "is empty" in done.stderr), done


def test_the_verbs_are_all_here() -> None:
    assert {"evaluate", "export", "report", "ingest", "curate", "sft", "classify", "compile", "pin"} <= set(VERBS)
    assert set(NAMES) <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_of_somebody_else_s_is_refused_before_work(verb: str, tmp_path: Path) -> None:
    is_file = takes_a_file(verb)
    target = tmp_path / "there.jsonl" if is_file else tmp_path / "there" / NAMES.get(verb, "there.txt")
    target.parent.mkdir(exist_ok=True)
    target.write_text(FOREIGN)
    error = ended(verb, target if is_file else target.parent)
    assert isinstance(error, InputError), error
    assert target.name in str(error) and "--out" in str(error) and "biomed-r1" in str(error)
    assert target.read_text() == FOREIGN
    assert [path for path in target.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("verb", [verb for verb in VERBS if not takes_a_file(verb)])
def test_a_folder_with_other_files_is_refused_and_kept(verb: str, tmp_path: Path) -> None:
    notes = tmp_path / "there" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text(FOREIGN)
    error = ended(verb, notes.parent)
    assert isinstance(error, InputError) and "notes.txt" in str(error), error
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]


def test_our_own_file_is_replaced_until_somebody_changes_it(tmp_path: Path) -> None:
    source = Path("components/samples/benchmarks/medqa.jsonl").resolve()
    line, out = ["--from", str(source), "--out", str(tmp_path / "items.jsonl")], tmp_path / "items.jsonl"
    for _ in range(2):
        assert CliRunner().invoke(VERBS["ingest"], line).exception is None
    whole = out.read_bytes()
    out.write_text(FOREIGN)
    error = CliRunner().invoke(VERBS["ingest"], line).exception
    assert isinstance(error, InputError) and "--overwrite" in str(error)
    assert out.read_text() == FOREIGN
    assert CliRunner().invoke(VERBS["ingest"], [*line, "--overwrite"]).exception is None
    assert out.read_bytes() == whole
    assert CliRunner().invoke(VERBS["ingest"], line).exception is None, "ours again"
    # Another program's file in a folder that has a list of ours.
    (tmp_path / "other.jsonl").write_text(FOREIGN)
    assert isinstance(ended("ingest", tmp_path / "other.jsonl"), InputError)


def test_a_file_of_a_command_that_was_killed_is_ours(tmp_path: Path) -> None:
    block = written(tmp_path, ["report.html"], "--out x")
    block.__enter__()
    (tmp_path / "report.html").write_text("half")
    with written(tmp_path, ["report.html"], "--out x"):
        (tmp_path / "report.html").write_text("whole")
    (tmp_path / "notes.txt").write_text(FOREIGN)
    with pytest.raises(InputError, match="notes"), written(tmp_path, ["notes.txt"], "--out x"):
        pytest.fail("not refused")


def test_a_command_that_fails_leaves_nothing_and_takes_nothing_over(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), written(tmp_path / "new", ["a"], "--out new", whole=True):
        1 / 0  # noqa: B018
    assert not (tmp_path / "new").exists()
    (tmp_path / "theirs").write_text(FOREIGN)
    with pytest.raises(ZeroDivisionError), written(tmp_path, ["theirs"], "--out theirs", overwrite=True):
        1 / 0  # noqa: B018
    with pytest.raises(InputError, match="theirs is there"), written(tmp_path, ["theirs"], "--out theirs"):
        pytest.fail("not refused")


def test_a_link_is_written_through_and_a_device_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "far/items.jsonl")
    line = ["--from", "components/samples/benchmarks/medqa.jsonl", "--out", str(tmp_path / "link.jsonl")]
    for _ in range(2):
        assert CliRunner().invoke(VERBS["ingest"], line).exception is None
    assert (tmp_path / "link.jsonl").is_symlink() and (tmp_path / "far/items.jsonl").is_file()
    assert str(tmp_path / "far/items.jsonl") in json.loads((home() / LIST).read_text())["sha256"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "items.jsonl", "link.jsonl"]
    # One that leads nowhere yet: its target is made, in new folders.
    (tmp_path / "to-be").symlink_to(tmp_path / "new/smoke.yaml")
    line = ["--recipe", "smoke", "--profile", "local", "--out", str(tmp_path / "to-be")]
    assert CliRunner().invoke(VERBS["compile"], line).exception is None
    assert (tmp_path / "to-be").is_symlink() and (tmp_path / "new/smoke.yaml").is_file()
    done = CliRunner().invoke(VERBS["compile"], ["--recipe", "smoke", "--out", "/dev/null"])
    assert done.exception is None and "/dev/null" not in (home() / LIST).read_text()
