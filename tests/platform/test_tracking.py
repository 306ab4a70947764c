"""Runs in a real MLflow: parent and child, an injected run adopted, retries, dead runs."""

from __future__ import annotations

import os
from typing import Any

import pytest

from components.errors import InputError
from components.platform.tracking import runs as tracking


@pytest.fixture
def client(servers: object, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "BIOMED_R1_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    tracking._experiment.cache_clear()
    yield MlflowClient()
    tracking._experiment.cache_clear()


def test_a_stage_is_a_child_of_its_pipeline_run(client: Any) -> None:
    pipeline = tracking.pipeline_run("run-a", {"recipe": {"name": "x"}}, {"recipe": "x"})
    with pipeline as parent, tracking.stage_run("run-a", "sft", "sft") as child:
        child.params({"config": {"lr": 0.1, "seed": 2**60 + 1}})
        child.history([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "bad": float("nan")}])
        child.dataset("mix", "d" * 64, "s3://b/mix", 7, "train")
    run = client.get_run(child.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert run.data.params["config.seed"] == str(2**60 + 1)
    assert [m.value for m in client.get_metric_history(child.run_id, "loss")] == [2.0, 1.0]
    assert "bad" not in run.data.metrics
    assert [(d.dataset.name, d.dataset.source) for d in run.inputs.dataset_inputs] == [("mix", "s3://b/mix")]
    assert run.info.status == client.get_run(parent.run_id).info.status == "FINISHED"


def test_without_a_parent_given_the_pipeline_run_is_found_by_its_id(client: Any) -> None:
    """In a cluster no process knows the parent: the first task makes it, the others find it."""
    with tracking.stage_run("run-b", "ingest", "ingest") as one, tracking.stage_run("run-b", "sft", "sft") as two:
        pass
    parents = {client.get_run(c.run_id).data.tags["mlflow.parentRunId"] for c in (one, two)}
    assert parents == {tracking.parent_run("run-b")}


def test_an_injected_run_is_adopted(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """KFP's plugin sets three variables; the stage logs there, opens nothing, ends nothing, and keeps the variables."""
    experiment = client.create_experiment("of-the-platform")
    injected = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", injected)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    before = len(client.search_runs([experiment]))
    with tracking.stage_run("run-c", "sft", "sft") as tracked:
        tracked.params({"lr": 0.1})
        tracked.metrics({"loss": 1.0})
    assert tracked.run_id == injected and os.environ["MLFLOW_RUN_ID"] == injected
    run = client.get_run(injected)
    assert (run.data.params["lr"], run.data.metrics["loss"], run.info.status) == ("0.1", 1.0, "RUNNING")
    assert len(client.search_runs([experiment])) == before


def test_a_retry_may_log_its_parameters_again(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0").info.run_id)
    for value in (1, 2):
        with tracking.stage_run("run-d", "sft", "sft") as tracked:
            tracked.params({"seconds": value})
    assert client.get_run(tracked.run_id).data.params["seconds"] == "1"


def test_failures_show(client: Any) -> None:
    with pytest.raises(ValueError), tracking.stage_run("run-e", "sft", "sft") as tracked:
        raise ValueError
    assert client.get_run(tracked.run_id).info.status == "FAILED"


def test_runs_of_a_killed_process_end_as_killed(client: Any) -> None:
    parent, child = (
        tracking.parent_run("run-f"),
        tracking._create("sft", {tracking.RUN_TAG: "run-f", tracking.STAGE_TAG: "sft"}),
    )
    client.set_tag(parent, tracking.PID_TAG, f"{__import__('socket').gethostname()}:{2**22 + 1}")
    living = tracking.parent_run("run-g")
    client.set_tag(living, tracking.PID_TAG, f"{__import__('socket').gethostname()}:{os.getpid()}")
    tracking.end_dead_runs()
    assert {client.get_run(r).info.status for r in (parent, child)} == {"KILLED"}
    assert client.get_run(living).info.status == "RUNNING"


def test_no_server_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="MLflow does not answer"):
        tracking.check()
