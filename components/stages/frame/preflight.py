"""The first task of a cluster run: everything its later tasks lean on, checked from inside a pod, in seconds."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform import models
from components.platform.checks import place
from components.platform.checks.findings import Check, Finding, found
from components.platform.checks.object_store import check_store
from components.platform.checks.tracking_server import check_tracking
from components.platform.execution import STORE_VARIABLE
from components.platform.sources import Kind, check_source
from components.platform.tracking import registry

LOG = logging.getLogger(__name__)


class PreflightConfig(BaseModel):
    """What a run will reach for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ()
    sources: tuple[tuple[str, Kind], ...] = ()
    runtime: str | None = Field(None, description="the TrainingRuntime of trainings that are TrainJobs")


def preflight(config: PreflightConfig, run: str = "") -> list[str]:
    """Make the round trips of a run to store, MLflow, models and question sets; returns what was found well.

    `run` is KFP's id of the run, by which its Workflow is found. Raises InputError with every failed check at once. A
    registry alias without a version is fine: the first run has no champion. GPUs are checked by the tasks that have
    them (components/platform/machine.py).
    """
    checks: list[tuple[str, Check]] = []
    if place.in_cluster():
        # First: it waits for the pod's network policy, which may take half a second to apply.
        checks += [("Kubernetes API", partial(place.check_api_server, run))]
        checks += [("user", place.check_user), ("folders", place.check_caches), ("space", place.check_space)]
    if config.runtime:
        checks += [("TrainJobs", partial(_train_jobs, config.runtime))]
    checks += [("S3", _store), ("MLflow", _mlflow), ("home", partial(place.check_home, False))]
    checks += [(f"model {ref}", partial(_model, ref)) for ref in dict.fromkeys(config.models)]
    checks += [(f"{kind} {source}", partial(check_source, source, kind)) for source, kind in config.sources]
    findings = [finding for label, check in checks for finding in found(label, check)]
    for finding in findings:
        LOG.log(logging.WARNING if finding.level == "warning" else logging.INFO, "%s", finding)
    failed = [f"{finding.label}: {finding.text}" for finding in findings if finding.level == "failed"]
    if failed:
        raise InputError(f"{len(failed)} of {len(findings)} checks failed\n" + "\n".join(failed))
    return [finding.label for finding in findings]


def _train_jobs(runtime: str) -> Iterator[Finding]:
    from components.platform.cluster.api import connect
    from components.training.job.ready import check_train_jobs
    from components.training.job.watcher import ROLE

    return check_train_jobs(connect(role=ROLE), runtime)


def _store() -> Iterator[Finding]:
    root = os.environ.get(STORE_VARIABLE)
    if not root:
        raise InputError(f"{STORE_VARIABLE} is not set; the profile's `environment` names it")
    return check_store(root)


def _mlflow() -> Iterator[Finding]:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise InputError("MLFLOW_TRACKING_URI is not set; the profile's `environment` names it")
    return check_tracking()


def _model(ref: str) -> None:
    if not registry.absent(ref):
        models.check_reference(ref)
