"""The round trip that a run makes to MLflow, through MlflowClient itself.

A run with a parameter, a metric and a tag, found again and deleted, in an experiment of the check's own; a version
with a tag and an alias of a registered model of its own; then the run's own experiment and registered model, which are
created where they are missing (MLflow with basic-auth lets only who created a thing, or was given EDIT, write to it)
and get a tag. A registering task would otherwise learn that after the training.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from components.errors import InputError
from components.platform.checks.findings import Finding
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking
from components.platform.tracking.answers import explained, quickly

CHECKED_TAG = "biomed_r1.checked"


def check_tracking() -> Iterator[Finding]:
    """Findings for the MLflow that MLFLOW_TRACKING_URI names, in seconds; raises InputError for a URI it cannot be."""
    from mlflow import MlflowClient

    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith("http"):
        raise InputError(f"MLFLOW_TRACKING_URI={uri}: must be the http(s) address of an MLflow server")
    client = MlflowClient()
    own = f"{tracking.EXPERIMENT}-doctor{_user()}"
    with quickly():
        answers = _tried("MLflow answers", tracking.check)
        yield answers
        if answers.level == "failed":
            return
        yield _tried("MLflow runs", lambda: _run_round_trip(client, own))
        yield _tried(f"MLflow experiment {_experiment_name()}", lambda: _experiment(client))
        yield _tried("MLflow model versions", lambda: _version_round_trip(client, own))
        yield _tried(f"MLflow registered model {registry.MODEL}", lambda: _registered_model(client))


def _run_round_trip(client: Any, own: str) -> None:
    from mlflow.entities import Metric, Param, RunTag

    experiment = client.get_experiment_by_name(own)
    number = experiment.experiment_id if experiment else client.create_experiment(own)
    if experiment and experiment.lifecycle_stage == "deleted":
        client.restore_experiment(number)
    run = client.create_run(number, run_name="doctor").info.run_id
    try:
        now = int(time.time() * 1000)
        client.log_batch(run, [Metric("value", 1.0, now, 0)], [Param("setting", "1")], [RunTag("mark", run)])
        found = client.search_runs([number], f"tags.mark = '{run}'", max_results=1)
        if [r.info.run_id for r in found] != [run] or found[0].data.metrics != {"value": 1.0}:
            raise InputError(f"a run just written is not found in experiment {own}; is MLflow's database read-only?")
        client.set_terminated(run, "FINISHED")
    finally:
        client.delete_run(run)


def _version_round_trip(client: Any, own: str) -> None:
    registry.ensure_model(own)
    source = f"{os.environ.get('BIOMED_R1_STORE', 's3://doctor').rstrip('/')}/doctor"
    version = client.create_model_version(own, source=source, tags={"checked": "1"}, await_creation_for=0).version
    alias = f"check-{uuid.uuid4().hex[:8]}"
    try:
        client.set_registered_model_alias(own, alias, version)
        client.set_model_version_tag(own, version, "tried", "1")
        if client.get_model_version_by_alias(own, alias).tags.get("tried") != "1":
            raise InputError(f"a tag just written is not on version {version} of {own}")
        client.delete_registered_model_alias(own, alias)
    finally:
        client.delete_model_version(own, version)


def _experiment(client: Any) -> None:
    """The experiment that a run will write to: there, not deleted, and this user's to write to."""
    if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        _given(client, number)
        return
    name = _experiment_name()
    found = client.get_experiment_by_name(name)
    _refuse_deleted(found, f"experiment {name}")
    number = found.experiment_id if found else tracking.experiment_of(name)
    client.set_experiment_tag(number, CHECKED_TAG, _now())


def _given(client: Any, number: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment(number)
    except MlflowException as error:
        raise InputError(
            f"MLFLOW_EXPERIMENT_ID={number}: {explained(error)}; it may be left over from another server: unset it"
        ) from None
    _refuse_deleted(found, f"MLFLOW_EXPERIMENT_ID={number}: experiment {found.name}")
    client.set_experiment_tag(number, CHECKED_TAG, _now())


def _refuse_deleted(experiment: Any, what: str) -> None:
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise InputError(
            f"{what} is deleted; restore it with `mlflow experiments restore --experiment-id "
            f"{experiment.experiment_id}`, or name another in MLFLOW_EXPERIMENT_NAME"
        )


def _registered_model(client: Any) -> None:
    registry.ensure_model(registry.MODEL)
    client.set_registered_model_tag(registry.MODEL, CHECKED_TAG, _now())
    # What the first tasks ask; a registered model without versions is what a new installation has.
    registry.find(registry.MODEL, alias=registry.CHAMPION)


def _tried(label: str, act: Callable[[], Any]) -> Finding:
    from mlflow.exceptions import MlflowException

    try:
        act()
    except InputError as error:
        return Finding(label, "failed", str(error))
    except MlflowException as error:
        where = os.environ["MLFLOW_TRACKING_URI"]
        return Finding(label, "failed", f"{explained(error)} (MLFLOW_TRACKING_URI={where})")
    return Finding(label)


def _experiment_name() -> str:
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", tracking.EXPERIMENT)


def _user() -> str:
    """Tells users apart: what one user's doctor has created, another's may not write to."""
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return "-" + "".join(c if c.isalnum() else "-" for c in name)
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"-{sha256(token.encode()).hexdigest()[:8]}" if token else ""


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
