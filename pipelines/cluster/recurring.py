"""KFP recurring runs as schedules: found by name, made to be as wanted, and never two of a name enabled.

KFP cannot change a recurring run, so another cron is another recurring run. The new one is created disabled, then
the old one is disabled, then the new one is enabled, then the old one is deleted: whoever interrupts this leaves at
most one enabled, and the same command, given again, finishes it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kfp_server_api
from kfp_server_api import RecurringRunMode

from components.errors import InputError
from pipelines.cluster.client import Cluster, NotFoundError, named
from pipelines.cluster.cron import last_time
from pipelines.cluster.uploads import list_versions

# A recurring run whose description begins otherwise was made by someone else and is left alone.
MARK = "biomed-r1 schedule"
PAUSED = "made while paused"


@dataclass(frozen=True)
class Schedule:
    """What a recurring run shall be: when, which pipeline (always its latest version), as whom."""

    name: str
    cron: str
    pipeline_id: str
    experiment_id: str
    service_account: str | None = None

    def matches(self, run: Any) -> bool:
        """Whether an existing recurring run needs no change; its being paused is none."""
        cron = run.trigger and run.trigger.cron_schedule
        source = run.pipeline_version_reference
        return bool(
            cron
            and cron.cron == self.cron
            and not cron.start_time
            and not cron.end_time
            and source
            and source.pipeline_id == self.pipeline_id
            and not source.pipeline_version_id
            and run.experiment_id == self.experiment_id
            and str(run.max_concurrency) == "1"
            and run.no_catchup
            # KFP fills in its own where none was given.
            and self.service_account in (None, run.service_account)
        )

    def body(self, enabled: bool, paused: bool) -> kfp_server_api.V2beta1RecurringRun:
        """The create request. No pipeline_version_id: KFP 2.5 and newer then run the latest version each time
        (kubeflow/pipelines pull request 11560), which kfp.Client.create_recurring_run cannot ask for."""
        return kfp_server_api.V2beta1RecurringRun(
            display_name=self.name,
            description=f"{MARK} {self.name}" + (f", {PAUSED}" if paused else ""),
            experiment_id=self.experiment_id,
            pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(pipeline_id=self.pipeline_id),
            runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters={}),
            trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=self.cron)),
            mode=RecurringRunMode.ENABLE if enabled else RecurringRunMode.DISABLE,
            max_concurrency="1",
            no_catchup=True,
            service_account=self.service_account,
        )


def existing(cluster: Cluster, name: str | None = None) -> list[Any]:
    """The schedules of that name, or all, oldest first: one, or more where a change was interrupted."""
    query = {"filter": named(name)} if name else {}
    call = cluster.api.recurring_runs.recurring_run_service_list_recurring_runs
    found = cluster.pages("listing the schedules", call, "recurring_runs", **query, **cluster.scope)
    ours = [run for run in found if (run.description or "").startswith(MARK)]
    return sorted(ours, key=lambda run: (run.created_at, run.recurring_run_id))


def enabled(run: Any) -> bool:
    return bool(run.mode == RecurringRunMode.ENABLE)


def described(cluster: Cluster, name: str | None = None) -> list[str]:
    """A line per schedule: name, state, cron, latest version with what it was compiled from."""
    lines = []
    for run in existing(cluster, name):
        source, cron = run.pipeline_version_reference, run.trigger and run.trigger.cron_schedule
        versions = list_versions(cluster, source.pipeline_id) if source else []
        latest = f"{versions[0].display_name} ({versions[0].description})" if versions else "no version to run"
        state = "enabled" if enabled(run) else "paused"
        lines.append(f"{run.display_name:20} {state:8} {cron.cron if cron else 'no cron':18} {latest}")
    return lines


def put(cluster: Cluster, wanted: Schedule) -> str:
    """Make the one schedule of that name as wanted; what was done: created, replaced or unchanged.

    A paused schedule stays paused.
    """
    before = existing(cluster, wanted.name)
    paused = bool(before) and not any(map(enabled, before)) and (len(before) == 1 or _paused_before(before))
    done = "unchanged"
    if not any(map(wanted.matches, before)):
        done = "replaced" if before else "created"
        known = {run.recurring_run_id for run in before}
        cluster.create(
            f"creating the schedule {wanted.name}",
            cluster.api.recurring_runs.recurring_run_service_create_recurring_run,
            lambda: next((r for r in existing(cluster, wanted.name) if r.recurring_run_id not in known), None),
            wanted.body(enabled=not before, paused=paused),
        )
    # Listed anew: where two people create a schedule at once, both keep the same, older one.
    after = existing(cluster, wanted.name)
    kept = next((run for run in after if wanted.matches(run)), None)
    if kept is None:
        raise InputError(
            f"schedule {wanted.name}: somebody changed it meanwhile; look with `biomed-r1 schedule --list`"
        )
    _keep(cluster, kept, after, enable=not paused)
    return done


def pause(cluster: Cluster, name: str) -> None:
    """Disable the schedule; raises InputError where there is none."""
    for run in _some(cluster, name):
        _disable(cluster, run)


def resume(cluster: Cluster, name: str) -> str:
    """Enable the schedule; of several, which an interrupted change left, the newest.

    Returns what happens at once, "" where that is nothing: KFP starts the latest time that was missed, also where
    `no_catchup` is set, which only leaves out the ones before it.
    """
    runs = _some(cluster, name)
    kept = runs[-1]
    missed = None if enabled(kept) else _missed(kept)
    _keep(cluster, kept, runs, enable=True)
    return f"its time {missed:%Y-%m-%d %H:%M:%S} UTC was missed: KFP starts that run at once" if missed else ""


def delete(cluster: Cluster, name: str) -> None:
    """Delete the schedule; its pipeline, versions and runs stay, the one in progress too.

    Raises InputError where there is none.
    """
    for run in _some(cluster, name):
        _delete(cluster, run)


def _missed(run: Any) -> datetime | None:
    """The latest time of a paused schedule that has passed since it was paused."""
    cron = run.trigger and run.trigger.cron_schedule
    latest = last_time(cron.cron) if cron else None
    since = run.updated_at or run.created_at
    return latest if latest and since and latest > since else None


def _keep(cluster: Cluster, kept: Any, runs: list[Any], enable: bool) -> None:
    others = [run for run in runs if run.recurring_run_id != kept.recurring_run_id]
    for run in filter(enabled, others):
        _disable(cluster, run)
    if enable and not enabled(kept):
        call = cluster.api.recurring_runs.recurring_run_service_enable_recurring_run
        cluster.ask(f"enabling the schedule {kept.display_name}", call, kept.recurring_run_id)
    for run in others:
        _delete(cluster, run)


def _paused_before(runs: list[Any]) -> bool:
    return bool(runs[-1].description.endswith(PAUSED))


def _some(cluster: Cluster, name: str) -> list[Any]:
    runs = existing(cluster, name)
    if not runs:
        raise InputError(f"no schedule {name!r} of ours on {cluster.address}; `biomed-r1 schedule --list` shows them")
    return runs


def _disable(cluster: Cluster, run: Any) -> None:
    call = cluster.api.recurring_runs.recurring_run_service_disable_recurring_run
    cluster.ask(f"disabling the schedule {run.display_name}", call, run.recurring_run_id)


def _delete(cluster: Cluster, run: Any) -> None:
    call = cluster.api.recurring_runs.recurring_run_service_delete_recurring_run
    # A run's Workflow belongs to the schedule's object in Kubernetes, whose default is to collect it: a run in progress
    # would be gone within seconds. KFP before 2.16 does not know the word, and its runs end so
    # (kubeflow/pipelines pull request 12574).
    # Not found: an earlier attempt, whose answer got lost, or somebody else has done it.
    with suppress(NotFoundError):
        cluster.ask(
            f"deleting the schedule {run.display_name}", call, run.recurring_run_id, propagation_policy="ORPHAN"
        )
