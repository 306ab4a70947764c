"""A Lease as the lock of a target: one deployer at a time, however many pods there are.

As in Kubernetes' own leader election a lease is taken over only after it did not change for its whole duration by this
machine's own measure of time; whose clock is wrong does not matter. Every write carries the resourceVersion that was
read, so of two that take it over one wins.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from components.errors import ConflictError, ReadableError
from components.platform.cluster.api import Kubernetes

NAME = "biomed-r1-deploy"
GROUP = "coordination.k8s.io/v1"


class Lease:
    """`seconds`: how long it holds when its holder is silent; it is renewed every third of that."""

    def __init__(self, cluster: Kubernetes, holder: str, seconds: float = 30.0, name: str = NAME) -> None:
        self.cluster, self.seconds, self.name = cluster, seconds, name
        self.holder = f"{holder}_{uuid.uuid4().hex[:8]}"  # two commands of one person are two holders
        self.path = cluster.path(GROUP, "leases", name)
        self.lost = threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises ConflictError, naming the holder, when another holds it and is alive."""
        self.acquire()
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(done,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()
            self._release()

    def acquire(self) -> None:
        """Raises ConflictError as `held` does."""
        found = self.cluster.get(self.path)
        if found is not None and self._holder(found):
            found = self._silent(found)
        if found is None:
            self.cluster.create(self.cluster.path(GROUP, "leases"), self._body({}, acquired=True))
            return
        self.cluster.replace(self.path, self._body(found, acquired=True))

    def _silent(self, found: dict[str, Any]) -> dict[str, Any] | None:
        """The lease (None: deleted) once its holder was silent for the whole duration.

        Raises ConflictError as soon as it is not.
        """
        other = self._holder(found)
        version = found["metadata"]["resourceVersion"]
        deadline = time.monotonic() + float(found["spec"].get("leaseDurationSeconds") or self.seconds)
        while time.monotonic() < deadline:
            time.sleep(min(1.0, self.seconds / 10))
            now = self.cluster.get(self.path)
            if now is None or not self._holder(now):
                return now
            if now["metadata"]["resourceVersion"] != version:
                raise ConflictError(
                    f"Lease {self.name}: {other} is deploying; wait for its end, or look at its pod's log"
                )
        return found

    def _renew(self, done: threading.Event) -> None:
        renewed = time.monotonic()
        while not done.wait(self.seconds / 3):
            asked = time.monotonic()
            try:
                found = self.cluster.get(self.path)
                if found is None or self._holder(found) != self.holder:
                    self.lost.set()
                    return
                self.cluster.replace(self.path, self._body(found))
                renewed = asked
            except ReadableError:
                if time.monotonic() - renewed < self.seconds:
                    continue  # the next one may do
                self.lost.set()  # another may hold it by now
                return

    def _release(self) -> None:
        try:
            found = self.cluster.get(self.path)
            if found is not None and self._holder(found) == self.holder:
                body = self._body(found)
                body["spec"]["holderIdentity"] = ""
                self.cluster.replace(self.path, body)
        except ReadableError:
            return  # it runs out by itself

    def _holder(self, found: dict[str, Any]) -> str:
        return str(found.get("spec", {}).get("holderIdentity") or "")

    def _body(self, found: dict[str, Any], acquired: bool = False) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {**found.get("spec", {}), "holderIdentity": self.holder, "renewTime": now}
        if acquired:
            changes = int(found.get("spec", {}).get("leaseTransitions") or 0) + (self._holder(found) != self.holder)
            spec |= {"acquireTime": now, "leaseTransitions": changes}
        spec["leaseDurationSeconds"] = max(1, round(self.seconds))
        metadata = {"name": self.name, "namespace": self.cluster.namespace}
        if version := found.get("metadata", {}).get("resourceVersion"):
            metadata["resourceVersion"] = version
        return {"apiVersion": GROUP, "kind": "Lease", "metadata": metadata, "spec": spec}
