"""What MLflow knows of runs and models, in Prometheus's text format on /metrics: `mlflow_metrics.py PORT`.

MLflow's own exporter counts HTTP requests and knows neither. The answer is at most a minute old. When MLflow does not
answer, `biomed_r1_mlflow_up` is 0 and everything else is absent.
"""

import sys
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlflow import MlflowClient

from components.platform.formats.prometheus import CONTENT_TYPE, text
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking

FRESH_SECONDS = 60.0
NEWEST_RUNS = 500
NEWEST_VERSIONS = 50
PARENT = "mlflow.parentRunId"
KFP_RUN = "kfp.pipeline_run_id"
HELP = {
    "biomed_r1_mlflow_up": "1 when MLflow answered.",
    "biomed_r1_runs": "Pipeline runs by MLflow's status, of the newest ones.",
    "biomed_r1_open_run_seconds": "Age of each pipeline run that nobody has ended.",
    "biomed_r1_stage_seconds": "Seconds that the newest computed (not reused) execution of each stage took.",
    "biomed_r1_gpu_hours": "GPU hours of each pipeline run that ended.",
    "biomed_r1_accuracy": "Accuracy of each evaluated candidate over all benchmarks, a fraction.",
}


def samples(now: float) -> list[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of everything MLflow says; `now` in seconds. Raises what MLflow's client raises."""
    client = MlflowClient()
    found: list[tuple[str, dict[str, str], float]] = [("biomed_r1_mlflow_up", {}, 1.0)]
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    if experiment is None:
        return found
    runs = list(
        client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=NEWEST_RUNS)
    )
    pipelines = [run for run in runs if is_pipeline(run.data.tags)]
    for status in sorted({run.info.status for run in pipelines}):
        found.append(("biomed_r1_runs", {"status": status}, sum(run.info.status == status for run in pipelines)))
    versions = _versions(client, {run.info.run_id: run for run in runs})
    for run in pipelines:
        name = {"run": run.data.tags.get(tracking.RUN_TAG, run.info.run_name), "run_id": run.info.run_id}
        if run.info.status == "RUNNING":
            found.append(("biomed_r1_open_run_seconds", name, now - run.info.start_time / 1000))
        if "gpu_seconds" in run.data.metrics:
            found.append(("biomed_r1_gpu_hours", name, run.data.metrics["gpu_seconds"] / 3600))
        labels = {**name, "version": versions.get(run.info.run_id, "")}
        found += [("biomed_r1_accuracy", labels | cell, value) for cell, value in accuracies(run.data.metrics)]
    return found + _stage_seconds(runs)


def is_pipeline(tags: Mapping[str, str]) -> bool:
    """Whether a run stands for a whole pipeline run: our own parent, or the one that KFP's MLflow plugin opened."""
    return tags.get(tracking.STAGE_TAG) == "pipeline" or (KFP_RUN in tags and PARENT not in tags)


def accuracies(metrics: Mapping[str, float]) -> Iterable[tuple[dict[str, str], float]]:
    """The candidate's accuracies: `candidate_SETTING_STRATUM_accuracy`, as stage compare names them."""
    for name, value in metrics.items():
        words = name.split("_")
        if words[0] == "candidate" and words[-1] == "accuracy" and len(words) == 4:
            yield {"setting": words[1], "stratum": words[2]}, value


def _versions(client: MlflowClient, runs: Mapping[str, Any]) -> dict[str, str]:
    """The model version that each pipeline run registered, by the run's id, where MLflow knows it."""
    found = {}
    query = f"name = '{registry.MODEL}'"
    for version in client.search_model_versions(query, order_by=["version_number DESC"], max_results=NEWEST_VERSIONS):
        run = runs.get(version.run_id or "")
        while run is not None and not is_pipeline(run.data.tags):
            run = runs.get(run.data.tags.get(PARENT, ""))
        if run is not None:
            found.setdefault(run.info.run_id, str(version.version))
    return found


def _stage_seconds(runs: Iterable[Any]) -> list[tuple[str, dict[str, str], float]]:
    newest: dict[str, float] = {}
    for run in runs:
        stage = run.data.tags.get(tracking.STAGE_TAG)
        computed = run.data.tags.get("biomed_r1.reused") == "false"
        if stage and computed and run.info.status == "FINISHED" and run.info.end_time:
            newest.setdefault(stage, (run.info.end_time - run.info.start_time) / 1000)
    return [("biomed_r1_stage_seconds", {"stage": stage}, seconds) for stage, seconds in sorted(newest.items())]


class Exporter(BaseHTTPRequestHandler):
    """Answers /metrics, asking MLflow once a minute at most, however many scrape."""

    lock = threading.Lock()
    kept: tuple[float, str] = (float("-inf"), "")  # until when (monotonic seconds), and what

    def do_GET(self) -> None:
        # /health says that this process lives, whatever MLflow does.
        self.send_response(200 if self.path in ("/metrics", "/health") else 404)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.end_headers()
        if self.path == "/metrics":
            self.wfile.write(self.answer().encode())

    def answer(self) -> str:
        with Exporter.lock:
            if time.monotonic() > Exporter.kept[0]:
                fresh = FRESH_SECONDS
                try:
                    said = text(samples(time.time()), HELP)
                except Exception as error:  # MLflow's client raises its own, requests' and urllib3's errors alike
                    print(f"mlflow_metrics: MLflow did not say: {type(error).__name__}: {error}", flush=True)
                    said, fresh = text([("biomed_r1_mlflow_up", {}, 0.0)], HELP), FRESH_SECONDS / 6
                Exporter.kept = (time.monotonic() + fresh, said)
            return Exporter.kept[1]

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Exporter).serve_forever()
