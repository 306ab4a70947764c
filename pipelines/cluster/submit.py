"""One run of a recipe on the cluster: started once, whatever the network does, and cancelled."""

from __future__ import annotations

import getpass
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from components.errors import ReadableError
from components.platform import failures
from components.platform.execution import STORE_VARIABLE

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster
    from pipelines.cluster.uploads import Package, Version


def start(
    cluster: Cluster, package: Package, version: Version, experiment: str, service_account: str | None = None
) -> tuple[str, str]:
    """Start one run of a version, never two; its name and id."""
    import kfp_server_api

    from pipelines.cluster.client import named

    # Its random end lets a submission whose answer got lost find its own run, instead of starting a second one.
    name = f"{package.recipe}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    body = kfp_server_api.V2beta1Run(
        experiment_id=experiment,
        display_name=name,
        description=package.description,
        pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
            pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
        ),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters={}),
        service_account=service_account,
    )
    runs = cluster.api.runs

    def find() -> Any | None:
        query = {"experiment_id": experiment, "filter": named(name)}
        return next(cluster.pages("looking for the run", runs.run_service_list_runs, "runs", **query), None)

    run = cluster.create(f"starting run {name}", runs.run_service_create_run, find, body)
    return name, str(run.run_id)


def cancel(cluster: Cluster, run_id: str) -> bool:
    """Ask KFP to end a run; returns whether that it was cancelled is on record.

    KFP calls a run that was ended so FAILED, and its exit task, which records the outcome, is told the same. So it is
    said first in the run's own record, in the store; without one set the run will be called FAILED.
    """
    root = os.environ.get(STORE_VARIABLE, "").rstrip("/")
    runs = cluster.api.runs
    # Before anything is written: the run is there and this account may read it.
    cluster.ask(f"looking at run {run_id}", runs.run_service_get_run, run_id)
    if root:
        failures.record_cancelled(root, run_id, _who())
    try:
        cluster.ask(f"cancelling run {run_id}", runs.run_service_terminate_run, run_id)
    except ReadableError:
        if root:
            failures.forget_cancelled(root, run_id)
        raise
    return bool(root)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return f"user {os.getuid()}"
