"""What tasks do around a stage: receipts checked, the outcome without a plan, trying again what can pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InputError, StageError, UnavailableError
from components.platform import failures
from components.platform.execution import Call, execute, fetched, input_digest, receipts_uri
from components.platform.storage import objects, store
from components.platform.storage.plan import Plan, write
from components.platform.storage.store import file_sha256
from components.stages.frame.outcome import OutcomeConfig, record_outcome
from components.stages.sft import SftConfig
from components.tasks import guard
from components.tasks.patience import WAITS, passes

PATIENT = """
import os, sys
from components.errors import InputError, UnavailableError
from components.tasks import patience

patience.WAITS = (0, 0, 0)

@patience.patient
def task():
    attempt = int(os.environ.get("BIOMED_R1_ATTEMPT", "0"))
    print("attempt", attempt)
    if attempt < int(sys.argv[1]):
        raise {error}("s3://a/b: the store did not answer; try again")
    print("done")

task()
"""


def attempts(error: str, failing: int, **variables: str) -> tuple[int, list[str]]:
    program = PATIENT.format(error=error)
    done = subprocess.run([sys.executable, "-c", program, str(failing)], capture_output=True, text=True, env=variables)
    return done.returncode, done.stdout.splitlines()


def test_a_server_that_does_not_answer_is_tried_again_in_a_fresh_process() -> None:
    assert attempts("UnavailableError", 2) == (0, ["attempt 0", "attempt 1", "attempt 2", "done"])


def test_trying_again_ends() -> None:
    assert attempts("UnavailableError", 9) == (1, ["attempt 0", "attempt 1", "attempt 2", "attempt 3"])
    assert sum(WAITS) < 10 * 60


def test_what_stays_wrong_fails_at_once() -> None:
    assert attempts("InputError", 9) == (1, ["attempt 0"])


def test_a_local_run_says_at_once_what_failed(tmp_path: Path) -> None:
    assert attempts("UnavailableError", 9, BIOMED_R1_RUN_DIR=str(tmp_path)) == (1, ["attempt 0"])


def test_which_errors_can_pass() -> None:
    import requests
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    def raised(cause: Exception, error: Exception) -> Exception:
        try:
            raise error from cause
        except Exception as caught:
            return caught

    refused = raised(requests.ConnectionError("refused"), MlflowException("API request failed"))
    assert passes(UnavailableError("x")) and passes(refused) and passes(requests.Timeout())
    assert not passes(InputError("x")) and not passes(StageError("x")) and not passes(ValueError("x"))
    assert not passes(raised(requests.ConnectionError("refused"), InputError("said by us")))
    assert not passes(MlflowException("Permission denied", error_code=PERMISSION_DENIED))


def test_receipts_of_all_tasks(store_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = write(store_uri, Plan(tags={}, data={}, stages={}, tasks=("ingest", "sft")).text)
    folder = receipts_uri(store_uri, "run-1")
    objects.put_json(f"{folder}/ingest.json", {})
    with pytest.raises(StageError, match=r"no receipt of sft: it ended without storing a result") as missing:
        guard.receipts(plan.digest, "run-1")
    assert "its log: in KFP's page of run run-1, task sft, artifact executor-logs" in str(missing.value)
    # `watch` reads the reason there: KFP gives none.
    assert "no receipt of sft" in (failures.read_failure(store_uri, "run-1", "receipts") or {})["error"]
    objects.put_json(f"{folder}/sft.json", {})
    guard.receipts(plan.digest, "run-1")
    assert "receipts of all 2 tasks" in capsys.readouterr().err


def test_the_outcome_of_a_run_whose_doctor_wrote_no_plan(
    store_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pod did not start, say: there is an outcome to record all the same."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    guard.outcome("FAILED", "0" * 64, "run-2")
    assert "outcome.failed_task=doctor" in capsys.readouterr().err


def test_the_doctor_stores_the_plan_even_when_a_check_fails(store_uri: str, servers: object) -> None:
    made = Plan(tags={}, data={"train": "/nowhere"}, stages={}, tasks=("ingest",))
    with pytest.raises(InputError, match="train /nowhere"):
        guard.doctor(made.text, "run-3", "{{$.pipeline_job_schedule_time_utc}}")
    assert objects.list_children(f"{store_uri}/plans") == [f"{made.digest}.json"]
    assert "train /nowhere" in (failures.read_failure(store_uri, "run-3", "doctor") or {})["error"]
    with pytest.raises(ZeroDivisionError), failures.recorded(store_uri, "run-4", "doctor", "doctor"):
        raise ZeroDivisionError
    tags = record_outcome("run-4", "FAILED", OutcomeConfig(tasks=("ingest",)))
    assert tags["outcome.failed_task"] == "doctor", "and not the first of those that it kept from starting"


def test_a_manifest_names_a_data_input_and_the_address_of_a_model(store_uri: str, tmp_path: Path) -> None:
    """The registered version's lineage reads both there."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "sft.parquet").write_bytes(b"rows")
    (tmp_path / "made" / "model.safetensors").write_bytes(b"weights")
    made = f"{store_uri}/artifacts/curate/k"
    store.put_dir(tmp_path / "made", made, stage="curate", key="k")
    call = Call("sft", "r", SftConfig(), {"mix": f"{made}/sft.parquet", "model": made})
    product = execute(call, lambda out: {})
    manifest = store.read_manifest(product.uri)
    assert manifest is not None and [name for name, _ in manifest["inputs"]] == ["mix", made]


def test_a_stored_file_has_the_digest_of_the_local_one(store_uri: str, tmp_path: Path) -> None:
    """So a stage's key is the same, whichever way its input came."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "train.parquet").write_bytes(b"rows")
    store.put_dir(tmp_path / "made", f"{store_uri}/artifacts/ingest/k", stage="ingest", key="k")
    address = f"{store_uri}/artifacts/ingest/k/train.parquet"
    assert input_digest(address) == file_sha256(tmp_path / "made" / "train.parquet")
    assert Call("sft", "r", SftConfig(), {"mix": address}).task == "sft"
    with fetched(address) as (local,):
        assert local.read_bytes() == b"rows" and local.name == "train.parquet"
    assert not local.exists()
