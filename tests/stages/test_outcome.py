"""How a cluster run's end is recorded: believed from receipts, in MLflow, whatever the runner says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from components.errors import InputError, StageError
from components.platform import execution
from components.platform.storage import store
from components.platform.tracking import runs as tracking
from components.stages.frame.outcome import OutcomeConfig, gpu_use, record_outcome
from components.stages.frame.preflight import PreflightConfig, preflight

TASKS = ("ingest", "sft", "compare")


def receipt(root: str, run: str, task: str, **more: Any) -> None:
    value = {"task": task, "uri": f"{root}/artifacts/{task}", "evidence": {}, "gpu_seconds": 0, **more}
    store.put_json(f"{execution.receipts_uri(root, run)}/{task}.json", value)


def parent(run: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run(tracking.parent_run(run))


@pytest.fixture
def run(store_uri: str) -> str:
    name = store_uri.rpartition("/")[2]
    tracking.open_pipeline(name, {"sft": {"seed": 2**62}}, {"recipe": "smoke"})
    return name


def finish(store_uri: str, run: str) -> None:
    store.put_json(f"{store_uri}/artifacts/compare/decision.json", {"decision": "refuse"})
    receipt(store_uri, run, "ingest")
    receipt(store_uri, run, "sft", gpu_seconds=7200)
    receipt(store_uri, run, "compare", evidence={"metrics": {"gain": 0.25}})


# How KFP calls a success: its API, its drivers that keep states in ML Metadata, and a word that says nothing of an end.
SUCCESSES = ("SUCCEEDED", "COMPLETE", "CACHED", "RUNNING")


@pytest.mark.parametrize("state", SUCCESSES)
def test_a_finished_run(state: str, store_uri: str, run: str) -> None:
    finish(store_uri, run)
    tags = record_outcome(run, state, OutcomeConfig(tasks=TASKS, price_per_gpu_hour=2.0))
    assert tags == {
        "outcome.state": "SUCCEEDED",
        "outcome.kfp_state": state,
        "outcome.missing": "",
        "gate.decision": "refuse",
    }
    found = parent(run)
    assert (found.info.status, found.data.tags["gate.decision"]) == ("FINISHED", "refuse")
    assert found.data.metrics == {"gpu_seconds": 7200, "gpu_cost_usd": 4.0, "gain": 0.25}
    assert (found.data.params["sft.seed"], found.data.tags["recipe"]) == (str(2**62), "smoke")


def test_a_failed_run_names_the_task_that_began_and_did_not_end(store_uri: str, run: str) -> None:
    receipt(store_uri, run, "ingest")
    with tracking.stage_run(run, "ingest", "ingest"):
        pass
    with pytest.raises(ZeroDivisionError), tracking.stage_run(run, "sft", "sft"):
        raise ZeroDivisionError
    tags = record_outcome(run, "FAILED", OutcomeConfig(tasks=("grpo", *TASKS)))
    assert (tags["outcome.failed_task"], tags["outcome.missing"]) == ("sft", "grpo, sft, compare")
    assert (parent(run).info.status, parent(run).data.tags["outcome.failed_task"]) == ("FAILED", "sft")


@pytest.mark.parametrize("state", ["CANCELLED", "CANCELED"])
def test_a_task_whose_pod_vanished_is_ended_and_named(state: str, store_uri: str, run: str) -> None:
    from mlflow import MlflowClient

    receipt(store_uri, run, "ingest")
    left = tracking._create("sft", {tracking.RUN_TAG: run, tracking.STAGE_TAG: "sft", tracking.TASK_TAG: "sft"})
    tags = record_outcome(run, state, OutcomeConfig(tasks=TASKS))
    assert (tags["outcome.state"], tags["outcome.failed_task"]) == ("CANCELLED", "sft")
    assert MlflowClient().get_run(left).info.status == parent(run).info.status == "KILLED"


@pytest.mark.parametrize("state", SUCCESSES)
def test_a_success_without_every_receipt_is_a_failure(state: str, store_uri: str, run: str) -> None:
    receipt(store_uri, run, "ingest")
    with pytest.raises(StageError, match=f"KFP says {state}, but there is no receipt of sft, compare"):
        record_outcome(run, state, OutcomeConfig(tasks=TASKS))
    tags = parent(run).data.tags
    assert (parent(run).info.status, tags["outcome.state"], tags["outcome.kfp_state"]) == ("FAILED", "FAILED", state)


def test_a_failure_stays_one_with_every_receipt(store_uri: str, run: str) -> None:
    finish(store_uri, run)
    tags = record_outcome(run, "FAILED", OutcomeConfig(tasks=TASKS))
    assert (tags["outcome.state"], tags["outcome.failed_task"]) == ("FAILED", "none")


def test_a_run_that_the_platform_owns_is_tagged_and_not_ended(
    store_uri: str, servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    run = store_uri.rpartition("/")[2]
    above = tracking._create("kfp-run", {})
    monkeypatch.setenv("MLFLOW_RUN_ID", tracking._create("outcome", {"mlflow.parentRunId": above}))
    finish(store_uri, run)
    record_outcome(run, "SUCCEEDED", OutcomeConfig(tasks=TASKS))
    found = MlflowClient().get_run(above)
    assert (found.info.status, found.data.tags["outcome.state"]) == ("RUNNING", "SUCCEEDED")


def test_a_cancelled_run_is_failed_to_kfp_and_cancelled_by_our_record(store_uri: str, run: str) -> None:
    from components.platform import failures

    receipt(store_uri, run, "ingest")
    failures.record_cancelled(store_uri, run, "anna")
    tags = record_outcome(run, "FAILED", OutcomeConfig(tasks=TASKS))
    assert (tags["outcome.state"], tags["outcome.kfp_state"], tags["outcome.cancelled_by"]) == (
        "CANCELLED",
        "FAILED",
        "anna",
    )
    assert parent(run).info.status == "KILLED"


def test_a_run_that_succeeded_all_the_same_was_not_cancelled(store_uri: str, run: str) -> None:
    from components.platform import failures

    finish(store_uri, run)
    failures.record_cancelled(store_uri, run, "anna")
    assert record_outcome(run, "SUCCEEDED", OutcomeConfig(tasks=TASKS))["outcome.state"] == "SUCCEEDED"


def test_no_price_no_cost() -> None:
    assert gpu_use({"a": {"gpu_seconds": 5}, "b": {}}, None) == {"gpu_seconds": 5}


def test_preflight_checks_all_and_says_what_failed(store_uri: str) -> None:
    good = PreflightConfig(
        models=("package:smollm2-135m-instruct", "registry:nobody@champion"),
        sources=(("samples", "benchmarks"), ("samples", "train")),
    )
    found = preflight(good)
    assert found[:2] == ["S3 put", "S3 get"] and "MLflow registered model biomed-r1" in found
    assert found[found.index("home") :] == [
        "home",
        "model package:smollm2-135m-instruct",
        "model registry:nobody@champion",
        "benchmarks samples",
        "train samples",
    ]
    bad = PreflightConfig(
        models=("hf:some/model", "package:nothing"),
        sources=((f"{store_uri}/set", "train"), ("hf:datasets/x/y", "train")),
    )
    with pytest.raises(InputError) as failed:
        preflight(bad)
    said = [
        f"4 of {len(found)} checks failed",
        "hf:some/model",
        "40-digit",
        "package:nothing",
        f"{store_uri}/set",
        "manifest.json",
    ]
    assert [word for word in said if word not in str(failed.value)] == []


def test_preflight_without_a_store(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOMED_R1_STORE")
    with pytest.raises(InputError, match="BIOMED_R1_STORE is not set"):
        preflight(PreflightConfig())
