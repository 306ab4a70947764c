"""Runs in MLflow: one parent per pipeline run, a child per stage, or the run that the platform injected.

Only explicit run ids are used, never MLflow's "active run": `start_run` takes MLFLOW_RUN_ID out of the environment,
and two threads would share one. Question and answer text never comes here.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from components.errors import InputError
from components.platform.lineage import git_revision
from components.platform.tracking import names
from components.platform.tracking.answers import explained, quickly

LOG = logging.getLogger(__name__)
EXPERIMENT = "biomed-r1"
RUN_TAG = "biomed_r1.run"
STAGE_TAG = "biomed_r1.stage"
TASK_TAG = "biomed_r1.task"
PID_TAG = "biomed_r1.process"
# The run of the stage that this process, or the one that started it, is at work on.
STAGE_RUN_VARIABLE = "BIOMED_R1_STAGE_MLFLOW_RUN"
NOTE_TAG = "mlflow.note.content"
PARENT_VARIABLE = "BIOMED_R1_PARENT_RUN_ID"
# How deep KFP's graphs of graphs, which its MLflow plugin repeats, are at most.
MOST_LEVELS = 12
# MLflow keeps at most 36 characters of a dataset's digest and 500 of its name.
_DIGEST_LENGTH, _NAME_LENGTH = 32, 500


class Tracked:
    """One MLflow run to log to; with no tracking server configured every call does nothing."""

    def __init__(self, run_id: str | None) -> None:
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Log what is not there yet: parameters are immutable, and a retry of the task meets its own."""
        if self.run_id is None:
            return
        from mlflow.entities import Param

        present = _client().get_run(self.run_id).data.params
        named = {names.key(k): v for k, v in flatten(values).items()}
        new = [Param(k, str(v)[:500]) for k, v in named.items() if k not in present]
        _client().log_batch(self.run_id, params=new)

    def tags(self, values: Mapping[str, str]) -> None:
        if self.run_id is None:
            return
        from mlflow.entities import RunTag

        _client().log_batch(self.run_id, tags=[RunTag(names.key(key), value) for key, value in values.items()])

    def files(self, folder: Path) -> None:
        """Copy every file of a folder to the run's artifacts; raises what MLflow and its artifact store raise."""
        if self.run_id is not None:
            _client().log_artifacts(self.run_id, str(folder))

    def note(self, *lines: str) -> None:
        """Add paragraphs to what MLflow's page of the run says first, below what a person may have written there."""
        if self.run_id is None:
            return
        before = str(_client().get_run(self.run_id).data.tags.get(NOTE_TAG, ""))
        new = [line for line in lines if line and line not in before]
        if new:
            self.tags({NOTE_TAG: "\n\n".join([before, *new] if before else new)})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        self.history([{"step": step, **values}])

    def history(self, records: Sequence[Mapping[str, Any]], once: bool = False) -> None:
        """Log records of `step` and named numbers; what is not a finite number is left out.

        `once`: of a metric, only the steps that the run does not have yet. What MLflow refuses is said and left out:
        the stage's result is stored and has the numbers as well.
        """
        if self.run_id is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [
            Metric(names.key(name), float(value), now, int(record.get("step", 0)))
            for record in records
            for name, value in flatten(record).items()
            if name != "step" and isinstance(value, int | float) and math.isfinite(value)
        ]
        if once:
            known = {name: self._steps(name) for name in {metric.key for metric in batch}}
            batch = [metric for metric in batch if metric.step not in known[metric.key]]
        with _said("metrics"):
            for start in range(0, len(batch), 1000):
                _client().log_batch(self.run_id, metrics=batch[start : start + 1000])

    def _steps(self, name: str) -> set[int]:
        return {metric.step for metric in _client().get_metric_history(self.run_id, name)}

    def dataset(self, name: str, digest: str, source: str, rows: int, context: str) -> None:
        """Log a data set as an input of the run: its name, digest, source (a URI) and size, none of its text.

        The source in the form that `mlflow.data.get_source` reads.
        """
        if self.run_id is None:
            return
        import json

        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "s3" if source.startswith("s3://") else "local"
        profile = json.dumps({"num_rows": rows})
        data = Dataset(name[:_NAME_LENGTH], digest[:_DIGEST_LENGTH], kind, json.dumps({"uri": source}), "", profile)
        with _said(f"data set {name}"):
            _client().log_inputs(self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])


@contextmanager
def _said(what: str) -> Iterator[None]:
    """A value that MLflow refuses is a warning; a server that is away or forbids is an error as ever."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise
        LOG.warning("MLflow took no %s of this run: %s", what, explained(error))


@contextmanager
def stage_run(run: str, stage: str, name: str) -> Iterator[Tracked]:
    """The MLflow run of one stage of pipeline run `run`; ends it FINISHED or FAILED unless the platform owns it."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        yield Tracked(None)
        return
    if injected := os.environ.get("MLFLOW_RUN_ID"):
        tracked = Tracked(injected)
        # KFP calls it as its graph does (`evaluate-4`), which says nothing to a reader.
        _client().update_run(injected, name=name)
        tracked.tags({RUN_TAG: run, STAGE_TAG: stage, TASK_TAG: name})
        with _told(injected):
            yield tracked
        return
    parent = os.environ.get(PARENT_VARIABLE) or parent_run(run)
    tags = {RUN_TAG: run, STAGE_TAG: stage, TASK_TAG: name, "mlflow.parentRunId": parent}
    with _ended(_begun(run, name, tags)) as tracked, _told(str(tracked.run_id)):
        yield tracked


@contextmanager
def pipeline_run(run: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Tracked]:
    """The parent run of a pipeline run, ended with the outcome of the block."""
    with _ended(parent_run(run)) as tracked:
        tracked.params(params)
        tracked.tags({**tags, PID_TAG: f"{socket.gethostname()}:{os.getpid()}"})
        yield tracked


def source_tags(source: str, kind: str) -> dict[str, str]:
    """The tags by which MLflow shows what started a run (`kind`: LOCAL or JOB) and the commit of its code."""
    revision = git_revision()
    return {
        "mlflow.source.name": source,
        "mlflow.source.type": kind,
        "mlflow.source.git.commit": revision.removesuffix("-dirty"),
        "mlflow.source.git.dirty": str(revision.endswith("-dirty")).lower(),
    }


def run_address(run_id: str) -> str:
    """Where a browser shows a run, without a user's name and password that the server's address may hold."""
    return f"{_web_address()}/{run_page(run_id)}"


def run_page(run_id: str) -> str:
    """A run's page as MLflow's own pages link it, whatever the server is called in a browser."""
    return f"#/experiments/{_client().get_run(run_id).info.experiment_id}/runs/{run_id}"


def _web_address() -> str:
    parts = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def parent_run(run: str) -> str:
    """The id of the pipeline run's parent in MLflow, created where it is missing."""
    experiment = _experiment()
    found = _client().search_runs(
        [experiment], f"tags.`{RUN_TAG}` = '{run}' and tags.`{STAGE_TAG}` = 'pipeline'", max_results=1
    )
    if found:
        return str(found[0].info.run_id)
    return _create(run, {RUN_TAG: run, STAGE_TAG: "pipeline"})


def open_pipeline(run: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> Tracked:
    """The parent of a cluster run, with parameters and tags: made before its tasks, so that none of them has to."""
    tracked = pipeline_parent(run)
    tracked.params(params)
    # The platform's run gets our marks too, so that it is found as ours is.
    tracked.tags({RUN_TAG: run, STAGE_TAG: "pipeline", **tags})
    return tracked


def close_pipeline(run: str, status: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """Log a cluster run's outcome and end its runs with `status` (MLflow's word), unless the platform owns them."""
    tracked = pipeline_parent(run)
    if tracked.run_id is None:
        return
    tracked.tags(tags)
    tracked.metrics(metrics)
    if not os.environ.get("MLFLOW_RUN_ID"):
        end_unfinished(run)
        _client().set_terminated(tracked.run_id, status)


def begun_tasks(run: str) -> list[str]:
    """The tasks of a pipeline run that have a run in MLflow, oldest first, once each."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return []
    found = _client().search_runs(
        [_experiment()], f"tags.`{RUN_TAG}` = '{run}'", max_results=1000, order_by=["attributes.start_time ASC"]
    )
    names = [r.data.tags.get(TASK_TAG, "") for r in found if r.data.tags.get(STAGE_TAG) != "pipeline"]
    return [name for name in dict.fromkeys(names) if name]


def pipeline_parent(run: str) -> Tracked:
    """The run that stands for a whole pipeline run, made where it is missing; one that logs nothing without MLflow."""
    return Tracked(_pipeline_run_id(run) if os.environ.get("MLFLOW_TRACKING_URI") else None)


def running() -> dict[str, list[str]]:
    """The pipeline runs that have something RUNNING in MLflow, in any experiment, with the URIs they are making."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return {}
    experiments = [str(experiment.experiment_id) for experiment in _client().search_experiments()]
    found: dict[str, list[str]] = {}
    for run in _client().search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000):
        if name := run.data.tags.get(RUN_TAG):
            found.setdefault(name, []).append(run.data.tags.get("biomed_r1.uri", ""))
    return found


def _pipeline_run_id(run: str) -> str:
    """The run that stands for the whole pipeline run: the topmost above the one the platform injected, else our own.

    KFP's plugin nests a run in its exit handler's (already FINISHED), and that one in the pipeline run's, which carries
    `kfp.pipeline_run_id` and has no parent.
    """
    injected = os.environ.get("MLFLOW_RUN_ID")
    if injected is None:
        return parent_run(run)
    found = injected
    for _ in range(MOST_LEVELS):
        above = _client().get_run(found).data.tags.get("mlflow.parentRunId")
        if above is None:
            return found
        found = str(above)
    raise InputError(f"MLFLOW_RUN_ID={injected}: more than {MOST_LEVELS} runs above it; none is the pipeline run's")


def end_dead_runs() -> None:
    """Mark as KILLED the runs of pipeline processes on this machine that no longer live."""
    for run in _running():
        process = run.data.tags.get(PID_TAG)
        if process and _is_dead(process):
            end_unfinished(run.data.tags[RUN_TAG])
            _client().set_terminated(run.info.run_id, "KILLED")


def end_unfinished(run: str) -> None:
    """Mark as KILLED the stages of a pipeline run that could not end their runs themselves."""
    for stage in _running(f" and tags.`{RUN_TAG}` = '{run}'"):
        if stage.data.tags.get(STAGE_TAG) != "pipeline":
            _client().set_terminated(stage.info.run_id, "KILLED")


def check() -> None:
    """Raise InputError, within a few seconds and with the server's reason, unless MLflow's API answers."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = os.environ["MLFLOW_TRACKING_URI"]
    if not uri.startswith("http"):
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: must be the http(s) address of an MLflow server")
    try:
        with quickly():
            MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: MLflow does not answer: {explained(error)}") from None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as `a.b.c` names, the form MLflow's params and metrics have."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


@contextmanager
def _ended(run_id: str) -> Iterator[Tracked]:
    try:
        yield Tracked(run_id)
    except (KeyboardInterrupt, SystemExit):
        _client().set_terminated(run_id, "KILLED")
        raise
    except BaseException:
        _client().set_terminated(run_id, "FAILED")
        raise
    _client().set_terminated(run_id, "FINISHED")


@contextmanager
def _told(run_id: str) -> Iterator[None]:
    """Name the stage's run in the environment, for trainers and the processes that they start."""
    before = os.environ.get(STAGE_RUN_VARIABLE)
    os.environ[STAGE_RUN_VARIABLE] = run_id
    try:
        yield
    finally:
        if before is None:
            del os.environ[STAGE_RUN_VARIABLE]
        else:
            os.environ[STAGE_RUN_VARIABLE] = before


def _begun(run: str, name: str, tags: Mapping[str, str]) -> str:
    """The stage's run: that of an earlier attempt which did not finish, so that curves go on in it, else a new one."""
    wanted = f"tags.`{RUN_TAG}` = '{run}' and tags.`{TASK_TAG}` = '{name}' and attributes.status != 'FINISHED'"
    found = _client().search_runs([_experiment()], wanted, max_results=1, order_by=["attributes.start_time DESC"])
    if not found:
        return _create(name, tags)
    _client().update_run(found[0].info.run_id, status="RUNNING")
    return str(found[0].info.run_id)


def _create(name: str, tags: Mapping[str, str]) -> str:
    return str(_client().create_run(_experiment(), run_name=name, tags=dict(tags)).info.run_id)


@lru_cache(maxsize=1)
def _experiment() -> str:
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    return experiment_of(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))


def experiment_of(name: str) -> str:
    """The id of the experiment of that name, created where it is missing."""
    from mlflow.exceptions import MlflowException

    found = _client().get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    try:
        return str(_client().create_experiment(name))
    except MlflowException:  # another task was first
        return str(_client().get_experiment_by_name(name).experiment_id)


def _running(also: str = "") -> list[Any]:
    return list(_client().search_runs([_experiment()], f"attributes.status = 'RUNNING'{also}", max_results=1000))


def _is_dead(process: str) -> bool:
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname():
        return False
    import psutil

    return not (pid.isdigit() and psutil.pid_exists(int(pid)))


@lru_cache(maxsize=1)
def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient()
