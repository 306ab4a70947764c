"""What a folder's home is found by, what a broken one says, and what `make clean` asks."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.errors import InputError
from components.platform.storage import s3
from pipelines.cli.main import cli

CLEAN = Path(__file__).resolve().parents[2] / "pipelines" / "local" / "clean.py"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a home that has one run; the working directory is a folder two levels below."""
    for name in ("BIOMED_R1_HOME", "BIOMED_R1_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".biomed-r1" / "servers").mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    # The command sets it; given back when the test ends.
    monkeypatch.setenv("BIOMED_R1_HOME", "")
    return tmp_path


def test_status_logs_and_down_find_the_home_from_any_folder_of_the_project(project: Path) -> None:
    out = CliRunner().invoke(cli, ["status"], catch_exceptions=False).output
    assert f"home\t{project / '.biomed-r1'}" in out
    os.environ["BIOMED_R1_HOME"] = ""
    assert "nothing, none was running" in CliRunner().invoke(cli, ["down"], catch_exceptions=False).output
    assert os.environ["BIOMED_R1_HOME"] == str(project / ".biomed-r1")
    assert not (project / "a" / "b" / ".biomed-r1").exists()


@pytest.mark.parametrize("verb", ["status", "down", "up"])
def test_a_state_that_was_written_in_part_is_told_in_words(
    project: Path, verb: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("h")  # a short path: `up` refuses one that is too long for sockets
    (home / "servers").mkdir()
    (home / "servers" / "state.json").write_text('{"token": "ab')
    os.environ["BIOMED_R1_HOME"] = str(home)
    with pytest.raises(InputError, match=r"state.json: not readable as JSON .* delete the file and run this again"):
        CliRunner().invoke(cli, [verb], catch_exceptions=False)


def test_a_store_without_credentials_names_what_to_set() -> None:
    from botocore.exceptions import NoCredentialsError

    def call() -> None:
        raise NoCredentialsError

    with pytest.raises(InputError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"):
        s3.asked("s3://bucket/key", call)


def registry(home: Path, *stages: str) -> Path:
    file = home / "servers" / "mlflow" / "mlflow.db"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as database:
        database.execute("create table model_versions (name text, current_stage text)")
        database.executemany("insert into model_versions values ('biomed-r1', ?)", [(stage,) for stage in stages])
    return home


def test_clean_refuses_in_words_where_nobody_can_be_asked(tmp_path: Path) -> None:
    def clean(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(CLEAN), str(home), *more]
        return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    full = registry(tmp_path / "full", "None", "Deleted_Internal")
    refused = clean(full)
    assert refused.returncode == 2 and "biomed-r1 (1)" in refused.stderr and "FORCE=1" in refused.stderr
    assert clean(full, "--force").returncode == 0
    assert clean(tmp_path / "none").returncode == 0
    assert clean(registry(tmp_path / "deleted", "Deleted_Internal")).returncode == 0


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("\n", 2)])
def test_clean_asks_on_a_terminal(tmp_path: Path, typed: str, code: int) -> None:
    home = registry(tmp_path / "home", "None")
    terminal, screen = pty.openpty()
    os.write(terminal, typed.encode())
    done = subprocess.run([sys.executable, str(CLEAN), str(home)], stdin=screen, stderr=subprocess.PIPE, text=True)
    os.close(screen)
    os.close(terminal)
    assert done.returncode == code and "[y/N]" in done.stderr
