"""Diagnostics: where they go, in which form, how much; and that a run's tasks do as its command was told."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform import environment, logs, progress

OURS = logging.getLogger("components.platform.test_logs")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (environment.LOG_LEVEL, environment.LOG_FORMAT):
        monkeypatch.delenv(name, raising=False)
    yield
    monkeypatch.undo()
    logs.configure()


def biomed(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120)


def test_text_is_the_message_and_a_warning_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    OURS.debug("hidden")
    OURS.info("plain %d", 1)
    OURS.warning("careful")
    assert capsys.readouterr() == ("", "plain 1\nwarning: careful\n")


def test_json_is_one_object_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(environment.LOG_FORMAT, "json")
    monkeypatch.setenv(environment.LOG_LEVEL, "debug")
    logs.configure()
    OURS.debug('two\nlines, "quoted"')
    try:
        raise ValueError("why")
    except ValueError:
        OURS.exception("failed")
    out, err = capsys.readouterr()
    first, second = map(json.loads, err.splitlines())
    assert out == "" and datetime.fromisoformat(first.pop("time")).utcoffset() is not None
    assert first == {"level": "debug", "logger": OURS.name, "message": 'two\nlines, "quoted"'}
    assert second["level"] == "error" and "ValueError: why" in second["traceback"]


def test_the_level_is_for_our_own_loggers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A library's debug messages hold headers and tokens."""
    monkeypatch.setenv(environment.LOG_LEVEL, "debug")
    logs.configure()
    logging.getLogger("botocore.auth").debug("Authorization: secret")
    logging.getLogger("httpx").info("HTTP Request: POST")
    assert capsys.readouterr().err == ""


def test_a_line_is_written_once_where_kfp_has_installed_a_handler() -> None:
    code = (
        "import logging, sys; logging.basicConfig(stream=sys.stdout, level=logging.INFO, format='[KFP] %(message)s'); "
        "from components.platform import logs; logs.configure(); logs.configure(); "
        "logging.getLogger('components.x').info('once')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "once\n")


def test_an_unknown_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.LOG_LEVEL, "loud")
    with pytest.raises(InputError, match="BIOMED_R1_LOG_LEVEL=loud: write one of debug, info, warning, error"):
        logs.configure()
    done = biomed("compile", "-o", "x.yaml", BIOMED_R1_LOG_LEVEL="loud")
    assert done.returncode == 2 and "--log-level" in done.stderr and "loud" in done.stderr


def test_a_command_in_json_keeps_results_apart_and_ends_in_json(tmp_path: Path) -> None:
    out = str(tmp_path / "out.yaml")
    fine = biomed("--log-format", "json", "compile", "--recipe", "smoke", "-o", out)
    assert fine.returncode == 0 and fine.stdout == ""
    (line,) = map(json.loads, fine.stderr.splitlines())
    assert line["logger"] == "pipelines.cli.recipes" and line["message"].startswith("training pipeline of recipe smoke")
    for wrong, code in (("--recipe=none", 2), ("--no-such-option", 2)):
        failed = biomed("--log-format", "json", "compile", wrong, "-o", out)
        (line,) = map(json.loads, failed.stderr.splitlines())
        assert failed.returncode == code and line["level"] == "error" and "no" in line["message"]
    silent = biomed("--log-level", "warning", "compile", "--recipe", "smoke", "-o", out)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


@pytest.mark.parametrize("form", environment.LOG_FORMATS)
def test_progress_is_a_line_that_the_run_finds_again(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(environment.LOG_FORMAT, form)
    logs.configure()
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.0)
    assert list(progress.progress("ab", "letters")) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert [logs.message_of(line) for line in lines] == ["progress: letters 1/2 (0 s)", "progress: letters 2/2 (0 s)"]
    assert logs.message_of("{ no JSON") == "{ no JSON" and logs.message_of("[1]") == "[1]"
