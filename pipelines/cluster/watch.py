"""Following a run on the cluster to its end, and what its receipts say of the gate."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from components.errors import GateRefusedError, InputError, StageError
from components.platform import execution

if TYPE_CHECKING:
    from pipelines.cluster.client import Cluster

LOG = logging.getLogger(__name__)
# Seconds between two looks: 2, 3, 4.5, ... 30; back to 2 when something has changed.
FIRST_PAUSE, LONGEST_PAUSE, FACTOR = 2.0, 30.0, 1.5
# How long an API that does not answer is no reason to stop waiting: a control plane's upgrade takes minutes.
PATIENCE_SECONDS = 900.0
ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
# Argo's own nodes: what they do for a task is told under the task's name.
_EXECUTOR = re.compile(r"executor(\(\d+\))?")
_INNER = re.compile(rf"{_EXECUTOR.pattern}|root|.*-driver|(exit-handler|for-loop|condition|iteration)-.*")


def follow(cluster: Cluster, run_id: str, timeout: float | None = None) -> str:
    """Wait until the run has succeeded, telling each task's changes on stderr; the run's name.

    Raises StageError naming the failed task, or when `timeout` seconds are over. Ctrl-C leaves the run going.
    """
    again = command_line(cluster, run_id)
    try:
        run = _wait(cluster, run_id, timeout, again)
    except KeyboardInterrupt:
        LOG.info("run %s goes on; watch it with: %s", run_id, again)
        raise
    if run.state != "SUCCEEDED":
        raise StageError(f"run {run.display_name} ({run_id}) ended {run.state}{_reasons(run)}")
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
    root = os.environ[execution.STORE_VARIABLE].rstrip("/")
    receipt = execution.read_receipts(root, run_id).get("compare")
    if receipt is None:
        raise StageError(
            f"run {run_id}: no receipt of `compare` under {execution.receipts_uri(root, run_id)}; is "
            f"{execution.STORE_VARIABLE} the store that the cluster uses?"
        )
    return str(receipt["evidence"]["decision"])


def _wait(cluster: Cluster, run_id: str, timeout: float | None, again: str) -> Any:
    from pipelines.cluster.client import UnavailableError

    started = answered = time.monotonic()
    told: dict[str, str] = {}
    pause, quiet = FIRST_PAUSE, False
    while True:
        try:
            run = cluster.ask(f"looking at run {run_id}", cluster.api.runs.run_service_get_run, run_id)
            answered, quiet = time.monotonic(), False
            if _tell(run, told):
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
            if told:
                error.args = (f"{error}; run {run_id} goes on; watch it with: {again}",)
            raise
        left = float("inf") if timeout is None else started + timeout - time.monotonic()
        if left <= 0:
            raise StageError(f"run {run_id} has not ended after {timeout:.0f} s and goes on; watch it with: {again}")
        time.sleep(min(pause, left))
        pause = min(LONGEST_PAUSE, pause * FACTOR)


def _tell(run: Any, told: dict[str, str]) -> bool:
    """A line for each task, and for the run, whose state is another than last time; whether there was one."""
    tasks = [task for task in _tasks(run) if task.state and not _INNER.fullmatch(task.display_name or "")]
    states = {task.display_name: task.state for task in tasks} | {"run": run.state or "PENDING"}
    changed = {name: state for name, state in states.items() if told.get(name) != state}
    for name, state in changed.items():
        LOG.info("%s  %-32s %s", _clock(), name, state)
    told |= changed
    return bool(changed)


def _reasons(run: Any) -> str:
    """Which tasks failed, with what KFP says about each, for the end of a sentence."""
    failed = [task for task in _tasks(run) if task.state == "FAILED"]
    pods = {task.pod_name for task in failed if task.pod_name}
    # A task that contains a failed one has failed as well: name the innermost.
    leaves = [task for task in failed if not any(c.pod_name in pods for c in task.child_tasks or ())]
    texts = [_task_name(task, _tasks(run)) + _said(task.error) for task in leaves]
    if not texts:
        return _said(run.error)
    return f": task {'; task '.join(dict.fromkeys(texts))}"


def _task_name(task: Any, tasks: Iterable[Any]) -> str:
    """The pipeline's own name of a task; an Argo `executor` is called as what it executes."""
    name = task.display_name or task.task_id or "?"
    if not _EXECUTOR.fullmatch(name):
        return str(name.removesuffix("-driver"))
    parents = (t for t in tasks if t.pod_name and any(c.pod_name == task.pod_name for c in t.child_tasks or ()))
    return next((_task_name(parent, tasks) for parent in parents if parent is not task), str(name))


def _tasks(run: Any) -> list[Any]:
    return list(run.run_details.task_details or ()) if run.run_details else []


def _said(error: Any) -> str:
    text = " ".join((error.message if error and error.message else "").split())
    return f" ({text[:300]})" if text else ""


def _clock() -> str:
    return time.strftime("%H:%M:%S")
