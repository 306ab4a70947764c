"""A stage runs once: keys, reuse, receipts, and what a failure leaves (nothing)."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from components.errors import InputError
from components.platform import execution, failures, faults
from components.platform.execution import Call, execute, read_receipts
from components.platform.storage import store


class Config(BaseModel):
    size: int = 1
    seed: int = 2**60 + 1


@pytest.fixture
def call(tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("BIOMED_R1_PARENT_RUN_ID", "")
    monkeypatch.delenv("BIOMED_R1_PARENT_RUN_ID")
    (tmp_path / "in.txt").write_text("in")
    return Call("ingest", store_uri.rsplit("/", 1)[-1], Config(), {"items": str(tmp_path / "in.txt")})


def worker(ran: list[int]) -> Callable[[Path], dict[str, Any]]:
    def work(out: Path) -> dict[str, Any]:
        ran.append(1)
        (out / "out.txt").write_text("out")
        return {"rows_in": 3, "metrics": {"accuracy": 0.5}, "history": [{"step": 1, "loss": 2.0}]}

    return work


def test_runs_once_and_leaves_a_receipt(call: Call, store_uri: str, tmp_path: Path) -> None:
    ran: list[int] = []
    first = execute(call, worker(ran))
    second = execute(call, worker(ran))
    assert (first.reused, second.reused, len(ran)) == (False, True, 1)
    assert first.uri == second.uri and first.digest == second.digest and second.evidence["rows_in"] == 3
    second.save("out.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "out"
    receipt = read_receipts(store_uri, call.run)["ingest"]
    assert receipt["reused"] and receipt["uri"] == first.uri and receipt["evidence"]["metrics"] == {"accuracy": 0.5}


@pytest.mark.parametrize("change", ["config", "input", "code", "stage"])
def test_what_changes_the_key(call: Call, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = execute(call, worker([])).uri
    if change == "config":
        call = Call(call.stage, call.run, Config(size=2), call.inputs)
    elif change == "input":
        (tmp_path / "in.txt").write_text("IN")
    elif change == "code":
        monkeypatch.setattr(execution, "code_digest", lambda module: "other")
    else:
        call = Call("register", call.run, call.config, call.inputs)
    assert execute(call, worker([])).uri != before


def test_a_failure_leaves_no_artifact_and_no_receipt(call: Call, store_uri: str) -> None:
    def fail(out: Path) -> dict[str, Any]:
        (out / "half.txt").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        execute(call, fail)
    assert store.list_files(store_uri) == [f"runs/{call.run}/failures/ingest.json"]
    record = failures.read_failure(store_uri, call.run, "ingest")
    assert record is not None and (record["error"], record["stage"]) == ("ValueError: no", "ingest")
    assert list((execution.home() / "scratch").iterdir()) == []


def test_a_half_upload_is_made_again(call: Call, store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setenv("BIOMED_R1_FAULT", "manifest:raise")
    with pytest.raises(RuntimeError, match="planted"):
        execute(call, worker(ran))
    assert store.list_files(store_uri)  # the files are there, and do not count
    monkeypatch.delenv("BIOMED_R1_FAULT")
    assert not execute(call, worker(ran)).reused
    assert len(ran) == 2


def numbered(ran: list[int]) -> Callable[[Path], dict[str, Any]]:
    """Each attempt writes other files, as trainings on GPUs do."""

    def work(out: Path) -> dict[str, Any]:
        ran.append(1)
        for name in ("a.txt", "out.txt"):
            (out / name).write_text(f"out {len(ran)}")
        return {"rows_in": len(ran)}

    return work


@pytest.mark.parametrize("uploaded", [1, 2, 3])
def test_a_result_that_a_killed_attempt_half_replaced_is_made_again(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uploaded: int
) -> None:
    """Two runs of one recipe, or `--fresh`: the one's manifest lies there with some of the other's files."""
    ran: list[int] = []
    first = execute(call, numbered(ran))
    with monkeypatch.context() as patch:
        patch.setenv("BIOMED_R1_FRESH", "this-run")
        patch.setattr(store, "PARALLEL_FILES", 1)
        patch.setattr(faults, "_passes", defaultdict(lambda: itertools.count(1)))
        patch.setenv("BIOMED_R1_FAULT", f"upload#{uploaded + 1}:raise,manifest:raise")
        with pytest.raises(RuntimeError, match="planted"):
            execute(call, numbered(ran))
    again = execute(call, numbered(ran))
    assert again.uri == first.uri and not again.reused and again.evidence["rows_in"] == len(ran) == 3
    store.get_dir(again.uri, tmp_path / "back")
    assert (tmp_path / "back/out.txt").read_text() == "out 3"
    assert execute(call, numbered(ran)).reused


def test_of_two_runs_at_once_the_first_one_s_result_stays(call: Call, tmp_path: Path) -> None:
    ran: list[int] = []

    def slower(out: Path) -> dict[str, Any]:
        made = numbered(ran)(out)
        execute(call, numbered(ran))  # the other run begins later, and ends before
        return made

    product = execute(call, slower)
    assert product.evidence["rows_in"] == 2
    product.save("out.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "out 2"


def test_fresh_ignores_what_is_stored(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    execute(call, worker(ran))
    before = execution.resume_uri(call)
    monkeypatch.setenv("BIOMED_R1_FRESH", "this-run")
    assert not execute(call, worker(ran)).reused
    assert execution.resume_uri(call) != before


def test_checkpoints_survive_a_change_of_code(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = execution.resume_uri(call)
    monkeypatch.setattr(execution, "code_digest", lambda module: "other")
    assert execution.resume_uri(call) == before
    assert execution.resume_uri(Call(call.stage, call.run, Config(size=2), call.inputs)) != before


def test_no_store_is_said_plainly(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOMED_R1_STORE")
    with pytest.raises(InputError, match="BIOMED_R1_STORE is not set"):
        execute(call, worker([]))


def test_the_log_s_address_is_read_from_kfp_s_own_argument() -> None:
    uri = "s3://biomed-r1/kfp/biomed-r1-training/r/sft/x/executor-logs"
    given = {"outputs": {"artifacts": {"executor-logs": {"artifacts": [{"name": "executor-logs", "uri": uri}]}}}}
    assert failures.log_address(["main", "--executor_input", json.dumps(given), "--function_to_execute", "sft"]) == uri
    for arguments in ([], ["--executor_input"], ["--executor_input", "{"], ["--executor_input", "{}"]):
        assert failures.log_address(arguments) is None


def test_a_store_that_is_away_hides_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder must be")
    with pytest.raises(ZeroDivisionError), failures.recorded(str(tmp_path), "r", "sft", "sft"):
        raise ZeroDivisionError
