"""What the container beside MLflow tells Prometheus, from a real MLflow."""

from __future__ import annotations

import re
import runpy
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import requests
from kubectl import SCRIPTS

from components.platform.tracking import registry
from components.platform.tracking import runs as tracking


@pytest.fixture
def exporter(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's own names, with an experiment and a model of this test alone."""
    name = f"exporter-{uuid.uuid4().hex}"
    monkeypatch.setattr(tracking, "EXPERIMENT", name)
    monkeypatch.setattr(registry, "MODEL", name)
    return runpy.run_path(str(SCRIPTS["mlflow_metrics.py"]))


def _run(status: str | None, tags: Mapping[str, str], metrics: Mapping[str, float] | None = None) -> str:
    from mlflow import MlflowClient

    client = MlflowClient()
    found = client.get_experiment_by_name(tracking.EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(tracking.EXPERIMENT)
    run = client.create_run(experiment, tags=dict(tags)).info.run_id
    for key, value in (metrics or {}).items():
        client.log_metric(run, key, value)
    if status:
        client.set_terminated(run, status)
    return str(run)


def _values(found: list[tuple[str, dict[str, str], float]], name: str) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for one, labels, value in found if one == name]


def test_an_empty_mlflow_is_up_and_says_no_more(exporter: dict[str, Any]) -> None:
    assert exporter["samples"](time.time()) == [("biomed_r1_mlflow_up", {}, 1.0)]


def test_runs_stages_hours_and_accuracies(exporter: dict[str, Any]) -> None:
    """With our own parent runs and with those of KFP's plugin, whose tasks are its children."""
    from mlflow import MlflowClient

    ours = {tracking.RUN_TAG: "run-1", tracking.STAGE_TAG: "pipeline"}
    scores = {"candidate_plain_reasoning_accuracy": 0.5, "candidate_adversarial_all_accuracy": 0.25,
              "baseline_plain_all_accuracy": 0.1, "candidate_gap_pooled_hard": 0.2}  # fmt: skip
    ended = _run("FINISHED", ours, {**scores, "gpu_seconds": 7200.0})
    _run("FINISHED", {tracking.RUN_TAG: "run-1", tracking.STAGE_TAG: "sft", "biomed_r1.reused": "false"})
    _run("FINISHED", {tracking.RUN_TAG: "run-1", tracking.STAGE_TAG: "report", "biomed_r1.reused": "true"})
    plugin = _run(None, {"kfp.pipeline_run_id": "abc"})
    task = {"kfp.pipeline_run_id": "abc", "mlflow.parentRunId": plugin, tracking.STAGE_TAG: "register"}
    child = _run("FINISHED", task)
    client = MlflowClient()
    client.create_registered_model(registry.MODEL)
    client.create_model_version(registry.MODEL, "s3://biomed-r1/models/a", run_id=ended)
    client.create_model_version(registry.MODEL, "s3://biomed-r1/models/b", run_id=child)
    client.log_metric(plugin, "candidate_plain_reasoning_accuracy", 0.75)

    found = exporter["samples"](time.time() + 3600)
    assert _values(found, "biomed_r1_runs") == [({"status": "FINISHED"}, 1), ({"status": "RUNNING"}, 1)]
    ((labels, age),) = _values(found, "biomed_r1_open_run_seconds")
    assert labels["run_id"] == plugin
    assert 3600 <= age < 3900
    ((labels, hours),) = _values(found, "biomed_r1_gpu_hours")
    assert (labels["run"], hours) == ("run-1", 2.0)
    assert [labels["stage"] for labels, _ in _values(found, "biomed_r1_stage_seconds")] == ["sft"], "reused: no time"
    accuracy = {(v["version"], v["setting"], v["stratum"]): value for v, value in _values(found, "biomed_r1_accuracy")}
    assert accuracy == {
        ("1", "plain", "reasoning"): 0.5, ("1", "adversarial", "all"): 0.25, ("2", "plain", "reasoning"): 0.75,
    }  # fmt: skip
    text = exporter["text"](found, exporter["HELP"])
    assert text.count("# TYPE biomed_r1_accuracy gauge\n") == 1
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+', line), line


def test_labels_are_escaped(exporter: dict[str, Any]) -> None:
    said = exporter["text"]([("biomed_r1_gpu_hours", {"run": 'a "b"\\\n'}, 1.0)], exporter["HELP"])
    assert said.splitlines()[-1] == r'biomed_r1_gpu_hours{run="a \"b\"\\\n"} 1.0'


@pytest.fixture
def served(exporter: dict[str, Any]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), exporter["Exporter"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_answers_over_http_and_lives_without_mlflow(served: str, exporter: dict[str, Any]) -> None:
    answer = requests.get(f"{served}/metrics", timeout=30)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "biomed_r1_mlflow_up 1.0\n" in answer.text
    assert requests.get(f"{served}/health", timeout=30).status_code == 200
    assert requests.get(f"{served}/other", timeout=30).status_code == 404

    def down(_: float) -> None:
        raise ConnectionError("no MLflow")

    exporter["Exporter"].answer.__globals__["samples"] = down
    assert "up 1.0\n" in requests.get(f"{served}/metrics", timeout=30).text, "a minute old at most"
    exporter["Exporter"].kept = (float("-inf"), "")
    assert requests.get(f"{served}/metrics", timeout=30).text.splitlines()[-1] == "biomed_r1_mlflow_up 0.0"
