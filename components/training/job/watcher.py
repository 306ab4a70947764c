"""Makes the TrainJob of a training, or finds the one that is there, and waits for its end.

There is only ever one: its name is the training's. A watcher that was killed and started again finds it. One that
failed meanwhile is deleted and made anew, which is what starting a task again asks for; so is one that works on another
request (other code), because whoever comes last takes a training over.
"""

from __future__ import annotations

import logging
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from components.errors import ConflictError, ReadableError, StageError, StoppedError, UnavailableError
from components.platform.cluster.api import Kubernetes
from components.platform.cluster.pods import troubles, unplaced
from components.training.job.body import (
    ATTEMPT_ANNOTATION,
    GRACE_SECONDS,
    GROUP,
    JOBSET_LABEL,
    PLURAL,
    REQUEST_ANNOTATION,
    RUN_LABEL,
    TRAINING_LABEL,
    VERSION,
    condition,
)

LOG = logging.getLogger(__name__)
ROLE = "biomed-r1-runner with manifests/components/trainjob"  # as an error names it
# Of troubles, those that a pod does not get out of by itself, and those after which JobSet makes a new one.
_STUCK = ("ImagePull", "Config")
Told = Callable[[str], ReadableError | None]


@dataclass(frozen=True)
class Terms:
    """How long, in seconds, what is waited for."""

    watch: float = 30  # one watch; pods are looked at between two
    stuck: float = 600  # a pod without image or Secret, before the job is given up
    away: float = 1800  # an API server that does not answer
    gone: float = 2 * GRACE_SECONDS  # a deleted job, whose pods store a checkpoint first


class _Told(BaseException):
    """SIGTERM, between two lines of the program."""


class Watcher:
    """The TrainJob `wanted` of a namespace; `told` reads the error that the pods of an attempt left in the store."""

    def __init__(self, cluster: Kubernetes, wanted: dict[str, Any], told: Told, terms: Terms | None = None) -> None:
        self.cluster, self.wanted, self.told, self.terms = cluster, wanted, told, terms or Terms()
        self.name = str(wanted["metadata"]["name"])
        self.jobs = cluster.path(f"{GROUP}/{VERSION}", PLURAL)
        self.path = f"{self.jobs}/{self.name}"
        self._said = ""
        self._stuck: dict[str, float] = {}

    def run(self) -> None:
        """Return when the TrainJob completed; raises the workers' own error, or StageError with the pods' reasons.

        On SIGTERM the job goes on, and StoppedError says so, unless its run was cancelled: then it is deleted.
        """
        try:
            with _sigterm():
                self._wait(self._ours())
        except _Told:
            if not self._cancelled():
                raise StoppedError(f"told to stop; TrainJob {self.name} goes on: the same command finds it") from None
            self.delete()
            raise StoppedError(f"the run was cancelled: TrainJob {self.name} is deleted and saves") from None

    def delete(self) -> None:
        """Delete the TrainJob and with it its pods, which have their grace period to store a checkpoint."""
        self.cluster.delete(self.path)

    def _ours(self) -> dict[str, Any]:
        """The TrainJob that works on our request: found, or made once nothing of its name is in the way."""
        since = time.monotonic()
        while True:
            found = self._patiently(lambda: self.cluster.get(self.path))
            if found is None:
                try:
                    made = self.cluster.create(self.jobs, self.wanted)
                except (ConflictError, UnavailableError) as error:  # somebody was first, or the answer was lost
                    LOG.warning("%s", error)
                    self._out_of_time(since, "could not be made", error)
                    time.sleep(min(1.0, self.terms.watch))
                    continue
                LOG.info("TrainJob %s: made, attempt %s", self.name, self._attempt(made))
                return made
            if found["metadata"].get("deletionTimestamp"):
                self._out_of_time(since, "is being deleted and does not go")
                self._changed(found)
                continue
            if reason := self._in_the_way(found):
                LOG.warning("TrainJob %s: %s; deleted, and made anew", self.name, reason)
                self._patiently(self.delete)
                continue
            LOG.info("TrainJob %s: found, attempt %s", self.name, self._attempt(found))
            self._take(found)
            return found

    def _in_the_way(self, found: dict[str, Any]) -> str:
        asked = self.wanted["metadata"]["annotations"][REQUEST_ANNOTATION]
        if found["metadata"].get("annotations", {}).get(REQUEST_ANNOTATION) != asked:
            return "it works on another request of the same training"
        return str(self._failure(found)) if condition(found, "Failed") else ""

    def _take(self, found: dict[str, Any]) -> None:
        """Note that the job is our run's now: the run that made it may be the one that ends first."""
        run = self.wanted["metadata"]["labels"].get(RUN_LABEL)
        if run and found["metadata"].get("labels", {}).get(RUN_LABEL) != run:
            metadata = {"name": self.name, "labels": {RUN_LABEL: run}}
            body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata}
            self._patiently(lambda: self.cluster.apply(self.path, body, force=True))

    def _wait(self, job: dict[str, Any] | None) -> None:
        while True:
            if job is None:
                raise StageError(f"TrainJob {self.name}: was deleted by somebody; start it again to go on")
            if condition(job, "Complete"):
                LOG.info("TrainJob %s: complete", self.name)
                return
            if condition(job, "Failed"):
                raise self._failure(job)
            if stuck := self._look_at_pods(job):
                self._patiently(self.delete)
                raise StageError(f"TrainJob {self.name}: deleted after {self.terms.stuck:g} s: {stuck}")
            self._changed(job)
            job = self._patiently(lambda: self.cluster.get(self.path))

    def _changed(self, job: dict[str, Any]) -> None:
        selector = f"{TRAINING_LABEL}={self.name}"
        version = str(job["metadata"].get("resourceVersion", ""))
        began = time.monotonic()
        self.cluster.changed(self.jobs, version, self.terms.watch, labelSelector=selector)
        if time.monotonic() - began < 0.05:  # the watch was refused (410, broken off): not asked again at once
            time.sleep(min(1.0, self.terms.watch))

    def _look_at_pods(self, job: dict[str, Any]) -> str:
        """Say what the job waits for, once; returns what is wrong with a pod that will never start."""
        waiting, stuck = "", {}
        if suspended := condition(job, "Suspended"):
            waiting = f"suspended: {suspended.get('message') or 'Kueue has not admitted it yet'}"
        for pod in self._pods():
            waiting = waiting or unplaced(pod)
            for one in troubles(self.cluster, pod):
                waiting = one.text
                if one.kind in _STUCK:
                    stuck[pod["metadata"]["name"]] = self._stuck.get(pod["metadata"]["name"], time.monotonic())
                    if time.monotonic() - stuck[pod["metadata"]["name"]] >= self.terms.stuck:
                        return one.text
        self._stuck = stuck
        if waiting and waiting != self._said:
            LOG.warning("TrainJob %s: %s", self.name, waiting)
        self._said = waiting
        return ""

    def _pods(self) -> list[dict[str, Any]]:
        path = self.cluster.path("v1", "pods")
        return self._patiently(lambda: self.cluster.listed(path, labelSelector=f"{JOBSET_LABEL}={self.name}"))[0]

    def _failure(self, job: dict[str, Any]) -> ReadableError:
        """The error of a failed job: what the workers said, with its kind, else what the cluster says."""
        failed = condition(job, "Failed") or {}
        said = f"TrainJob {self.name}: {failed.get('reason', 'Failed')}: {failed.get('message', '')}".rstrip(": ")
        if told := self.told(self._attempt(job)):
            return type(told)(f"{told}\n{said}")
        found = [one for pod in self._pods() for one in troubles(self.cluster, pod)]
        seen = [f"{one.text}; its last words:\n{one.log}" if one.log else one.text for one in found]
        seen += [text for pod in self._pods() if (text := unplaced(pod))]
        reasons = "\n".join(seen) or "no pod of it is left, and none said why"
        return StageError(f"{said}\n{reasons}\nstarted again, it goes on from the last stored checkpoint")

    def _attempt(self, job: dict[str, Any]) -> str:
        return str(job["metadata"].get("annotations", {}).get(ATTEMPT_ANNOTATION, ""))

    def _cancelled(self) -> bool:
        """Whether our run was ended by somebody: KFP sets its Workflow's deadline to 0, Argo's own commands `shutdown`.

        A deleted pod (a drained node) leaves the Workflow as it was. About a second is left to find out.
        """
        run = self.wanted["metadata"]["labels"].get(RUN_LABEL)
        if not run:
            return False
        path = self.cluster.path("argoproj.io/v1alpha1", "workflows")
        try:
            found, _ = self.cluster.listed(path, labelSelector=f"pipeline/runid={run}")
        except ReadableError:
            return False
        specs = [workflow.get("spec", {}) for workflow in found]
        return any(spec.get("shutdown") or spec.get("activeDeadlineSeconds") == 0 for spec in specs)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """What the API answers; it may be away for a while (an upgrade of the control plane)."""
        since = time.monotonic()
        while True:
            try:
                return call()
            except UnavailableError as error:
                if time.monotonic() - since > self.terms.away:
                    raise
                LOG.warning("%s; TrainJob %s goes on without us", error, self.name)
                time.sleep(min(15.0, self.terms.watch))

    def _out_of_time(self, since: float, what: str, error: ReadableError | None = None) -> None:
        if time.monotonic() - since > self.terms.gone:
            raise error or StageError(f"TrainJob {self.name}: {what}; look at it with kubectl")


def new_attempt() -> str:
    """A name for one TrainJob of a training, under which its pods leave their errors."""
    return secrets.token_hex(4)


def delete_jobs_of(cluster: Kubernetes, run: str) -> list[str]:
    """Delete the TrainJobs that a run, which has ended, has left running; returns their names.

    One that failed holds nothing and is there to be looked at.
    """
    path = cluster.path(f"{GROUP}/{VERSION}", PLURAL)
    found, _ = cluster.listed(path, labelSelector=f"{RUN_LABEL}={run}")
    names = [str(job["metadata"]["name"]) for job in found if not condition(job, "Failed")]
    for name in names:
        cluster.delete(f"{path}/{name}")
    return names


@contextmanager
def _sigterm() -> Iterator[None]:
    """SIGTERM raises _Told in the main thread, once; elsewhere nobody can be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, before)
        raise _Told

    before = signal.signal(signal.SIGTERM, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
