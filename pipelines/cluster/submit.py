"""One run of a recipe on the cluster, started once whatever the network does."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

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
