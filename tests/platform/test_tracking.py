"""Runs in a real MLflow: parent and child, an injected run adopted, retries, dead runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mlflow
import pytest

from components.errors import InputError
from components.platform.storage import store
from components.platform.tracking import files, notes
from components.platform.tracking import runs as tracking

CELL = {"model": "x", "setting": "plain", "stratum": "all", "benchmark": "all", "n": 4}
CELL |= {"accuracy": 0.5, "ci_low": 0.1, "ci_high": 0.9}


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
    (data,) = (d.dataset for d in run.inputs.dataset_inputs)
    assert (data.name, mlflow.data.get_source(data).uri, data.profile) == ("mix", "s3://b/mix", '{"num_rows": 7}')
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


def stored(folder: Path, uri: str, stage: str, contents: dict[str, Any]) -> dict[str, Any]:
    folder.mkdir()
    for name, value in contents.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    store.put_dir(folder, uri, stage=stage, key="k")
    return {"stage": stage, "uri": uri, "evidence": contents.get("evidence.json", {})}


def listed(client: Any, run_id: str | None) -> set[str]:
    found: set[str] = set()
    todo = [""]
    while todo:
        for entry in client.list_artifacts(run_id, todo.pop()):
            todo += [entry.path] if entry.is_dir else []
            found |= set() if entry.is_dir else {entry.path}
    return found


def test_a_run_has_the_files_that_a_person_opens(client: Any, store_uri: str, tmp_path: Path) -> None:
    """And not those with answers; curves and accuracies as pictures."""
    history = [{"step": step, "loss": 2.0 / step, "epoch": step} for step in (1, 2)]
    results = {
        "sft": stored(tmp_path / "a", f"{store_uri}/sft", "sft", {"evidence.json": {"history": history}}),
        "score": stored(tmp_path / "b", f"{store_uri}/s", "compare", {"scores.json": {"cells": [CELL]}}),
        "evaluate-x": stored(tmp_path / "c", f"{store_uri}/e", "evaluate", {"answers.parquet": "texts"}),
        "report": stored(tmp_path / "d", f"{store_uri}/r", "report", {"report.html": "<p>", "report.md": "#"}),
        "merge": {"stage": "merge", "uri": f"{store_uri}/nothing-is-there"},
    }
    with tracking.pipeline_run("run-h", {}, {}) as parent, tracking.stage_run("run-h", "sft", "sft") as child:
        files.log_text(parent, "recipe.yaml", "name: x")
        files.log_results(parent, results)
        files.log_result(child, "sft", results["sft"]["uri"])
    reports = {"report/report.html", "report/report.md"}
    pictures = {"sft/curves.png", "sft/evidence.json", "score/scores.png", "score/scores.json"}
    assert listed(client, parent.run_id) == {"recipe.yaml"} | reports | pictures
    assert listed(client, child.run_id) == {"manifest.json", "curves.png", "evidence.json"}
    picture = Path(client.download_artifacts(child.run_id, "curves.png", str(tmp_path)))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_server_that_takes_no_files_is_a_warning(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """As where MLflow's own store refuses it: what a stage computed is in ours."""
    files.log_text(tracking.Tracked("no-such-run"), "recipe.yaml", "x")
    files.log_text(tracking.Tracked(None), "recipe.yaml", "x")
    said = capsys.readouterr().err
    assert said.count("warning: MLflow took no files for run no-such-run") == 1 and "None" not in said


def test_a_description_keeps_what_a_person_wrote(client: Any) -> None:
    with tracking.pipeline_run("run-j", {}, tracking.source_tags("biomed-r1 run", "LOCAL")) as parent:
        parent.note("About this run.", notes.where("run-j", "s3://b/store"))
        client.set_tag(parent.run_id, tracking.NOTE_TAG, "Anna: ask me first.\n\nAbout this run.")
        parent.note("About this run.", "")
        made = {"report": {}, "register": {"evidence": {"name": "m", "version": "3"}}}
        parent.note(notes.ended(parent, made, "refuse"))
    tags = client.get_run(parent.run_id).data.tags
    page = f"#/experiments/{client.get_run(parent.run_id).info.experiment_id}/runs/{parent.run_id}"
    assert tags[tracking.NOTE_TAG] == (
        "Anna: ask me first.\n\nAbout this run.\n\n"
        f"[Report]({page}/artifacts/report/report.html). Gate: refuse. [m version 3](#/models/m/versions/3)."
    )
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == ("biomed-r1 run", "LOCAL")
    assert tags["mlflow.source.git.commit"] and tags["mlflow.source.git.dirty"] in ("true", "false")


def test_a_run_s_address_has_no_password(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = tracking.parent_run("run-k")
    server = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.replace("http://", "http://anna:secret@"))
    assert tracking.run_address(run_id).startswith(f"{server}/#/experiments/")
    assert tracking.run_address(run_id).endswith(f"/runs/{run_id}")
