"""`biomed-r1 submit`, `watch`, `cancel`, `schedule`: runs on a Kubeflow cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.cli.options import cluster_options, package_options, wait_options

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster
    from pipelines.cluster.uploads import Version
    from pipelines.compile import Pipeline


@click.command("submit")
@package_options
@cluster_options
@click.option("--wait", is_flag=True, help="Follow the run; exit as it ends.")
@wait_options
def submit_command(
    pipeline: Pipeline | None,
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
    from pipelines.cluster import watch

    if (timeout is not None or fail_on_refusal) and not wait:
        raise click.UsageError("--timeout and --fail-on-refusal go with --wait")
    if fail_on_refusal:
        watch.check_receipts_readable()
    # kfp takes two seconds to import: not before the options are known to be good.
    from pipelines.cluster.client import connect
    from pipelines.cluster.submit import start
    from pipelines.cluster.uploads import chosen, experiment_id, package, upload

    values, place = chosen(pipeline, recipe, profile, changes, models)
    cluster = connect(host, namespace)
    made = package(values, place)
    version = upload(cluster, made, made.name)
    _tell_version(version)
    name, run_id = start(cluster, made, version, experiment_id(cluster, experiment), service_account)
    click.echo(f"run {name} ({run_id}) started")
    if wait:
        _follow(cluster, run_id, timeout, fail_on_refusal)
    else:
        click.echo(f"watch it with: {watch.command_line(cluster, run_id)}")


@click.command("watch")
@click.argument("run_id")
@cluster_options
@wait_options
def watch_command(
    run_id: str, host: str | None, namespace: str | None, timeout: float | None, fail_on_refusal: bool
) -> None:
    """Follow a run to its end: exit 0 when it succeeded, 1 when not (or the time is over; the run goes on)."""
    from pipelines.cluster.watch import check_receipts_readable

    if fail_on_refusal:
        check_receipts_readable()
    from pipelines.cluster.client import connect

    _follow(connect(host, namespace), run_id, timeout, fail_on_refusal)


@click.command("cancel")
@click.argument("run_id")
@cluster_options
def cancel_command(run_id: str, host: str | None, namespace: str | None) -> None:
    """End a run before its time; with BIOMED_R1_STORE set its record says CANCELED, where KFP says FAILED."""
    from components.platform.execution import STORE_VARIABLE
    from pipelines.cluster.client import connect
    from pipelines.cluster.submit import cancel

    recorded = cancel(connect(host, namespace), run_id)
    click.echo(f"run {run_id} is being cancelled")
    if not recorded:
        click.echo(f"{STORE_VARIABLE} is not set, so the run will be recorded as FAILED, which is KFP's word", err=True)


@click.command("schedule")
@click.option("--name", help="The schedule; each has a pipeline of its own, whose latest version it runs.")
@click.option("--cron", help="Six fields, seconds first, UTC: '0 0 3 * * 0' is Sundays at 03:00.")
@click.option("--list", "action", flag_value="list", help="Show the schedules.")
@click.option("--pause", "action", flag_value="pause", help="Start no run until --resume.")
@click.option(
    "--resume", "action", flag_value="resume", help="Go on; of the times that were missed KFP runs the latest at once."
)
@click.option(
    "--delete", "action", flag_value="delete", help="Delete the schedule; its runs stay, the one in progress too."
)
@package_options
@cluster_options
def schedule_command(
    name: str | None,
    cron: str | None,
    action: str | None,
    pipeline: Pipeline | None,
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
    name, cron = _checked(name, cron, action)
    # kfp takes two seconds to import: not before the options are known to be good.
    from pipelines.cluster import recurring
    from pipelines.cluster.client import connect
    from pipelines.cluster.uploads import chosen, experiment_id, package, upload

    if action == "list":
        _show(connect(host, namespace))
    elif action:
        said = getattr(recurring, action)(connect(host, namespace), name)
        click.echo(f"schedule {name}: {action}d{f'; {said}' if said else ''}")
    else:
        values, place = chosen(pipeline, recipe, profile, changes, models)
        cluster = connect(host, namespace)
        made = package(values, place)
        # Its own pipeline: were it shared with `submit`, tonight's run would be whatever was tried last.
        version = upload(cluster, made, f"{made.name}-{name}", latest=True)
        group = experiment_id(cluster, experiment)
        wanted = recurring.Schedule(name, cron, version.pipeline_id, group, service_account)
        done = recurring.put(cluster, wanted)
        _tell_version(version)
        click.echo(f"schedule {name}: {done}")
        _show(cluster, name)


def _checked(name: str | None, cron: str | None, action: str | None) -> tuple[str, str]:
    """Name and cron of a schedule, "" where the action needs none; raises InputError for what cannot be meant."""
    from components.errors import InputError
    from pipelines.cluster.cron import check_schedule_name, parse_cron

    if action == "list":
        if name or cron:
            raise click.UsageError("--list goes without --name and --cron")
        return "", ""
    name = check_schedule_name(name)
    if action and cron:
        raise click.UsageError(f"--{action} goes without --cron")
    if action:
        return name, ""
    if not cron:
        raise InputError("--cron: say when, e.g. --cron '0 0 3 * * 0' (Sundays at 03:00 UTC)")
    return name, parse_cron(cron)


def _follow(cluster: Cluster, run_id: str, timeout: float | None, fail_on_refusal: bool) -> None:
    from pipelines.cluster.watch import check_gate, follow

    name = follow(cluster, run_id, timeout)
    click.echo(f"run {name} ({run_id}) SUCCEEDED")
    if fail_on_refusal:
        check_gate(run_id, name)


def _show(cluster: Cluster, name: str | None = None) -> None:
    from pipelines.cluster.recurring import described

    for line in described(cluster, name) or ["no schedules"]:
        click.echo(line)


def _tell_version(version: Version) -> None:
    click.echo(f"pipeline version {version.name} ({'uploaded' if version.uploaded else 'was there'})")
