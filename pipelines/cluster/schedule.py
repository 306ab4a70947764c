"""`biomed-r1 schedule`: a recipe on the cluster by the clock; create, change, list, pause, resume, delete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from components.errors import InputError
from pipelines.cli.options import cluster_options, package_options
from pipelines.cluster.cron import parse_cron

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster

# A part of the pipeline's name, which in KFP's Kubernetes store is an object's name.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


@click.command("schedule")
@click.option("--name", help="The schedule; each has a pipeline of its own, whose latest version it runs.")
@click.option("--cron", help="Six fields, seconds first, UTC: '0 0 3 * * 0' is Sundays at 03:00.")
@click.option("--list", "action", flag_value="list", help="Show the schedules.")
@click.option("--pause", "action", flag_value="pause", help="Start no run until --resume.")
@click.option("--resume", "action", flag_value="resume", help="Go on; what was missed is not made up for.")
@click.option("--delete", "action", flag_value="delete", help="Delete the schedule; its runs stay.")
@package_options
@cluster_options
def command(
    name: str | None,
    cron: str | None,
    action: str | None,
    pipeline: str,
    recipe: str,
    profile: str,
    changes: tuple[str, ...],
    models: str | None,
    experiment: str,
    service_account: str | None,
    host: str | None,
    namespace: str | None,
) -> None:
    """Run a recipe by the clock: creates the schedule or makes it as said; said twice, nothing changes.

    One run at a time, missed times are not caught up, and each run takes the latest version of the schedule's
    pipeline.
    """
    if action == "list":
        if name or cron:
            raise click.UsageError("--list goes without --name and --cron")
    elif not name or not _NAME.fullmatch(name):
        raise InputError(f"--name {name or ''}: give up to 40 lower-case letters, digits and dashes")
    elif action and cron:
        raise click.UsageError(f"--{action} goes without --cron")
    elif not action:
        if not cron:
            raise InputError("--cron: say when, e.g. --cron '0 0 3 * * 0' (Sundays at 03:00 UTC)")
        cron = parse_cron(cron)
    # kfp takes two seconds to import: not before the options are known to be good.
    from pipelines.cluster import recurring
    from pipelines.cluster.client import connect
    from pipelines.cluster.uploads import chosen, experiment_id, package, upload

    if action == "list":
        show(connect(host, namespace))
    elif action:
        getattr(recurring, action)(connect(host, namespace), name)
        click.echo(f"schedule {name}: {action}d")
    else:
        values, place = chosen(pipeline, recipe, profile, changes, models)
        cluster = connect(host, namespace)
        made = package(values, place)
        # Its own pipeline: were it shared with `submit`, tonight's run would be whatever was tried last.
        version = upload(cluster, made, f"{made.name}-{name}", latest=True)
        group = experiment_id(cluster, experiment)
        wanted = recurring.Schedule(str(name), str(cron), version.pipeline_id, group, service_account)
        done = recurring.put(cluster, wanted)
        click.echo(f"pipeline version {version.name} ({'uploaded' if version.uploaded else 'was there'})")
        click.echo(f"schedule {name}: {done}")
        show(cluster, name)


def show(cluster: Cluster, name: str | None = None) -> None:
    """A line per schedule: name, state, cron, latest version with what it was compiled from."""
    from pipelines.cluster.recurring import enabled, existing
    from pipelines.cluster.uploads import list_versions

    runs = existing(cluster, name)
    for run in runs:
        source, cron = run.pipeline_version_reference, run.trigger and run.trigger.cron_schedule
        versions = list_versions(cluster, source.pipeline_id) if source else []
        latest = f"{versions[0].display_name} ({versions[0].description})" if versions else "no version to run"
        state = "enabled" if enabled(run) else "paused"
        click.echo(f"{run.display_name:20} {state:8} {cron.cron if cron else 'no cron':18} {latest}")
    if not runs:
        click.echo("no schedules")
