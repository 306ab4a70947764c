"""Following a run on the cluster to its end: its tasks from its receipts and from KFP, and what the gate decided.

With a store set the receipts decide: a task with one has succeeded, whatever KFP still shows of it, and a run that KFP
calls SUCCEEDED without all of them has failed (docs/design.md, D13).
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.errors import GateRefusedError, InputError, ReadableError, StageError
from components.platform import execution, failures
from components.platform.storage import objects
from pipelines.cluster.nodes import FAILED, Graph, Progress, read_graph, read_progress

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster

LOG = logging.getLogger(__name__)
# Seconds between two looks: 2, 3, 4.5, ... 30; back to 2 when something has changed.
FIRST_PAUSE, LONGEST_PAUSE, FACTOR = 2.0, 30.0, 1.5
# How long an API that does not answer is no reason to stop waiting: a control plane's upgrade takes minutes.
PATIENCE_SECONDS = 900.0
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


@dataclass
class _Watch:
    """What is known of a run while it is followed."""

    run_id: str
    graph: Graph
    root: str | None
    told: dict[str, str] = field(default_factory=dict)
    receipts: set[str] = field(default_factory=set)
    cancelling: bool = False
    store_silent: bool = False


def follow(cluster: Cluster, run_id: str, timeout: float | None = None) -> str:
    """Wait until the run has succeeded, telling each task's changes on stderr; the run's name.

    Raises StageError naming the failed task, why it failed and where its log is, or when `timeout` seconds are over.
    Ctrl-C leaves the run going.
    """
    again = command_line(cluster, run_id)
    root = os.environ.get(execution.STORE_VARIABLE, "").rstrip("/") or None
    watch = _Watch(run_id, Graph(), root)
    try:
        run = _wait(cluster, watch, timeout, again)
    except KeyboardInterrupt:
        LOG.info("run %s goes on; watch it with: %s", run_id, again)
        raise
    if run.state != "SUCCEEDED":
        raise StageError(f"run {run.display_name} ({run_id}) ended {_end(run, watch)}")
    if watch.store_silent:
        LOG.warning("the receipts could not be read: that run %s succeeded is KFP's word alone", run_id)
    elif root and (missing := [task for task in watch.graph.owed if task not in watch.receipts]):
        raise StageError(
            f"run {run.display_name} ({run_id}): KFP says SUCCEEDED, but there is no receipt of {', '.join(missing)} "
            f"under {execution.receipts_uri(root, run_id)}; is {execution.STORE_VARIABLE} the store that the cluster "
            f"uses? If so, the run failed{_why(watch, missing[0])}"
        )
    return str(run.display_name)


def check_gate(run_id: str, name: str) -> None:
    """Raise GateRefusedError when the gate of a run that has ended refused the candidate."""
    if _decision(run_id) != "promote":
        raise GateRefusedError(f"run {name}: the gate refused the candidate; the reasons are in the report")


def command_line(cluster: Cluster, run_id: str) -> str:
    """What a person types to follow the run."""
    return f"biomed-r1 watch {run_id} --host {cluster.address}" + (
        f" --namespace {cluster.namespace}" if cluster.namespace else ""
    )


def check_receipts_readable() -> None:
    """Raise InputError when the gate's decision could not be read later, before anything is started."""
    if not os.environ.get(execution.STORE_VARIABLE):
        raise InputError(
            f"--fail-on-refusal: reads the run's receipts; set {execution.STORE_VARIABLE} to the store the cluster uses"
        )


def _decision(run_id: str) -> str:
    root = execution.store_root()
    receipt = execution.read_receipts(root, run_id).get("compare")
    if receipt is None:
        raise StageError(
            f"run {run_id}: no receipt of `compare` under {execution.receipts_uri(root, run_id)}; is "
            f"{execution.STORE_VARIABLE} the store that the cluster uses?"
        )
    return str(receipt["evidence"]["decision"])


def _wait(cluster: Cluster, watch: _Watch, timeout: float | None, again: str) -> Any:
    from pipelines.cluster.client import UnavailableError

    run_id = watch.run_id
    started = answered = time.monotonic()
    pause, quiet, known = FIRST_PAUSE, False, False
    while True:
        try:
            run = cluster.ask(f"looking at run {run_id}", cluster.api.runs.run_service_get_run, run_id)
            if not known:
                watch.graph, known = _graph(cluster, run), True
            answered, quiet = time.monotonic(), False
            if _tell(run, watch):
                pause = FIRST_PAUSE
            if run.state in ENDED:
                return run
        except UnavailableError as error:
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise
            if not quiet:
                LOG.warning("%s  %s; still waiting", _clock(), error)
            quiet = True
        except InputError as error:
            # Say, a token that has expired: no news of the run.
            if watch.told:
                error.args = (f"{error}; run {run_id} goes on; watch it with: {again}",)
            raise
        left = float("inf") if timeout is None else started + timeout - time.monotonic()
        if left <= 0:
            raise StageError(f"run {run_id} has not ended after {timeout:.0f} s and goes on; watch it with: {again}")
        time.sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * FACTOR)


def _graph(cluster: Cluster, run: Any) -> Graph:
    """The run's graph: a run of an uploaded version names the version, whose spec is asked for once."""
    if run.pipeline_spec:
        return read_graph(run.pipeline_spec)
    source = run.pipeline_version_reference
    if not source or not source.pipeline_version_id:
        return Graph()
    call = cluster.api.pipelines.pipeline_service_get_pipeline_version
    try:
        version = cluster.ask(
            "reading the run's pipeline", call, source.pipeline_id, source.pipeline_version_id, attempts=1
        )
    except ReadableError as error:
        LOG.warning("%s; tasks are called as KFP calls them", error)
        return Graph()
    return read_graph(version.pipeline_spec)


def _tell(run: Any, watch: _Watch) -> bool:
    """A line for each task, and for the run, whose state is another than last time; whether there was one."""
    watch.cancelling |= run.state == "CANCELING"
    states = dict(read_progress(run, watch.graph).states)
    if watch.root:
        watch.receipts |= _receipts(watch)
        # KFP's tasks stay as they were once a run's node status is over 1 MB; a receipt is later news than any of them.
        states |= dict.fromkeys(sorted(watch.receipts), "SUCCEEDED")
    states["run"] = run.state or "PENDING"
    changed = {name: state for name, state in states.items() if watch.told.get(name) != state}
    for name, state in changed.items():
        LOG.info("%s  %-32s %s", _clock(), name, state)
    watch.told |= changed
    return bool(changed)


def _receipts(watch: _Watch) -> set[str]:
    """The tasks that have left a receipt; what the store does not tell now, it may tell at the next look."""
    try:
        names = objects.list_children(execution.receipts_uri(str(watch.root), watch.run_id))
    except ReadableError as error:
        if not watch.store_silent:
            LOG.warning("%s  the receipts cannot be read: %s", _clock(), error)
        watch.store_silent = True
        return set()
    watch.store_silent = False
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def _end(run: Any, watch: _Watch) -> str:
    """How a run ended that did not succeed, and which of its tasks made it so."""
    progress = read_progress(run, watch.graph)
    ours = {watch.graph.name(task) for task in watch.graph.exits}
    bad = [name for name, state in progress.states.items() if state.split()[0] in FAILED]
    bad = [name for name in bad if name not in ours and name not in watch.receipts] or [n for n in bad if n in ours]
    if (cancelled := _cancelled(watch)) is not None:
        return f"CANCELED{cancelled}"
    if bad:
        return f"{run.state}: " + "; ".join(f"task {name}{_why(watch, name)}" for name in bad)
    return f"{run.state}{_driver(progress, watch)}{_said(run)}"


def _cancelled(watch: _Watch) -> str | None:
    """Who cancelled the run, as our record says; KFP itself calls its end FAILED. None for a run that nobody did."""
    record = None
    if watch.root:
        try:
            record = failures.read_cancelled(watch.root, watch.run_id)
        except ReadableError as error:
            LOG.warning("whether the run was cancelled cannot be read: %s", error)
    if record:
        return f" by {record.get('by', 'somebody')}, {record.get('time', '')}"
    return "" if watch.cancelling else None


def _driver(progress: Progress, watch: _Watch) -> str:
    """For a run in which no task failed: what KFP could not start, and where Argo says why."""
    where = f"Argo's reason: kubectl describe workflow --selector pipeline/runid={watch.run_id}"
    if progress.failed_drivers:
        names = ", ".join(f"`{name}`" for name in progress.failed_drivers)
        return f": the driver of {names} failed, so that none of its tasks ran; {where}"
    if progress.waiting_drivers:
        names = ", ".join(f"`{name}`" for name in progress.waiting_drivers)
        return f": no task failed, and the driver of {names} had not ended; {where}"
    return f"; no task is known to have failed; {where}"


def _why(watch: _Watch, task: str) -> str:
    """Why a task failed and where its log is: from the store, else the command that shows it while its pod is there."""
    record = None
    if watch.root:
        try:
            record = failures.read_failure(watch.root, watch.run_id, task)
        except ReadableError as error:
            LOG.warning("why task %s failed cannot be read: %s", task, error)
    kubectl = f"kubectl logs --selector pipeline/runid={watch.run_id} --container main --tail -1"
    if record is None:
        return f" (no reason in the store; its log, while its pod is there: {kubectl})"
    return f" ({record['error']}; its log: {record.get('log') or record.get('pod') or kubectl})"


def _said(run: Any) -> str:
    text = " ".join((run.error.message if run.error and run.error.message else "").split())
    return f" ({text[:300]})" if text else ""


def _clock() -> str:
    return time.strftime("%H:%M:%S")
