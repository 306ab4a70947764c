"""`biomed-r1 doctor`: what it finds in words and as JSON, on real servers and with one thing wrong at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faulty_proxy import proxy, s3_error

from components.errors import InputError
from pipelines.cli import local
from pipelines.cli import main as cli

Doctor = Callable[[], tuple[int, str, dict[str, Any]]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Runs it for the smoke recipe; exit code, output, and what `--json` wrote."""
    monkeypatch.setenv("BIOMED_R1_NEEDED_DISK_BYTES", "1")
    monkeypatch.setattr("pipelines.local.doctor.NEEDED_MEMORY_BYTES", 1)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)

    def run() -> tuple[int, str, dict[str, Any]]:
        file = tmp_path / "doctor.json"
        monkeypatch.setattr(sys, "argv", ["biomed-r1", "doctor", "--recipe", "smoke", "--json", str(file)])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code or 0, out + err, json.loads(file.read_text())

    return run


def test_all_well_in_words_and_as_json(doctor: Doctor, servers: Mapping[str, str], store_uri: str) -> None:
    code, said, found = doctor()
    assert code == 0, said
    assert found["ok"] and found["schema_version"] == 1
    assert {check["level"] for check in found["checks"]} == {"ok"}
    for label in ("S3 conditional put, 8 at once", "S3 delete", "clock", "MLflow registered model biomed-r1"):
        assert f"ok\t{label}\n" in said
    assert [list(check) for check in found["checks"]] == [["label", "level", "text"]] * len(found["checks"])


def test_a_warning_is_no_failure_and_a_refusal_is_one_with_the_reason(
    doctor: Doctor, servers: Mapping[str, str], store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {"DELETE": s3_error(403, "AccessDenied", "object lock")}
    with proxy(servers["AWS_ENDPOINT_URL_S3"], lambda asked: rules.get(asked.method)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        code, said, found = doctor()
        assert (code, found["ok"]) == (0, True)
        assert "WARN\tS3 delete\t" in said and "object lock" in said
        rules["PUT"] = s3_error(403, "AccessDenied", "read-only keys")
        code, said, found = doctor()
        assert (code, found["ok"]) == (2, False)
        assert "FAIL\tS3 put\t" in said and "read-only keys" in said and "docs/policies/s3.json" in said


def test_a_home_that_the_embedded_servers_cannot_take(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path / "100%"))
    code, said, _ = doctor()
    assert code == 2
    assert "FAIL\thome" in said and "'%' means something else" in said
    # What starts the servers asks the same, before it starts anything.
    for verb in ("up", "run"):
        error = CliRunner().invoke(getattr(local, f"{verb}_command"), []).exception
        assert isinstance(error, InputError) and "'%' means something else" in str(error)
    assert not (tmp_path / "100%").exists()
