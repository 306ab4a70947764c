"""`biomed-r1 submit`: one run of a recipe on the cluster."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import cluster_options, package_options, wait_options
from pipelines.cluster import watch

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster
    from pipelines.cluster.uploads import Package, Version


@click.command("submit")
@package_options
@cluster_options
@click.option("--wait", is_flag=True, help="Follow the run; exit as it ends.")
@wait_options
def command(
    pipeline: str,
    recipe: str,
    profile: str,
    changes: tuple[str, ...],
    models: str | None,
    experiment: str,
    service_account: str | None,
    host: str | None,
    namespace: str | None,
    wait: bool,
    timeout: float | None,
    fail_on_refusal: bool,
) -> None:
    """Run a recipe once on the cluster; an unchanged recipe uploads nothing."""
    if (timeout is not None or fail_on_refusal) and not wait:
        raise click.UsageError("--timeout and --fail-on-refusal go with --wait")
    if fail_on_refusal:
        watch.check_receipts_readable()
    # kfp takes two seconds to import: not before the options are known to be good.
    from pipelines.cluster.client import connect
    from pipelines.cluster.uploads import chosen, experiment_id, package, upload

    values, place = chosen(pipeline, recipe, profile, changes, models)
    cluster = connect(host, namespace)
    made = package(values, place)
    version = upload(cluster, made, made.name)
    click.echo(f"pipeline version {version.name} ({'uploaded' if version.uploaded else 'was there'})")
    name, run_id = start(cluster, made, version, experiment_id(cluster, experiment), service_account)
    click.echo(f"run {name} ({run_id}) started")
    if wait:
        watch.follow(cluster, run_id, timeout, fail_on_refusal)
    else:
        click.echo(f"watch it with: {watch.command_line(cluster, run_id)}")


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
