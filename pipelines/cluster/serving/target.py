"""Kubernetes as a target: two workloads made of one template, and the Service whose selector is the switch."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from components.errors import ConflictError, InputError
from components.platform.cluster.api import Kubernetes
from components.serving.deploy.status import COLOURS, Colour
from components.serving.deploy.target import Progress
from components.serving.deploy.template import (
    COLOUR_LABEL,
    CONFIG_MAP,
    NAME_LABEL,
    SERVICE,
    direct_service,
    rendered,
    rendered_hash,
    running,
    selector,
    template,
    workload_name,
)
from components.serving.pointer import Served
from pipelines.cluster.serving.lease import Lease
from pipelines.cluster.serving.reading import read_events, read_pods, read_workload

LOG = logging.getLogger(__name__)
ADDRESS = "http://{service}.{namespace}.svc.cluster.local:8000"
PATHS = {
    "Deployment": ("apps/v1", "deployments"),
    "InferenceService": ("serving.kserve.io/v1beta1", "inferenceservices"),
}


class KubernetesTarget:
    """`address` is the base URL of a colour's Service, with {service} and {namespace}: the cluster's own names."""

    name = "kubernetes"

    def __init__(self, cluster: Kubernetes, address: str = ADDRESS, lease_seconds: float = 30.0) -> None:
        self.cluster, self.template_address, self.lease_seconds = cluster, address, lease_seconds
        self._lease: Lease | None = None
        self._watched: dict[str, str] = {}

    @contextmanager
    def lock(self, by: str) -> Iterator[None]:
        self._lease = Lease(self.cluster, by, self.lease_seconds)
        try:
            with self._lease.held():
                yield
        finally:
            self._lease = None

    def live(self) -> Colour | None:
        found = self._service()["spec"].get("selector") or {}
        colour = found.get(COLOUR_LABEL)
        return colour if colour in COLOURS else None

    def held(self, colour: Colour) -> str:
        found = running(self._workload(colour))
        return found.uri if found else ""

    def current(self, colour: Colour, what: Served) -> bool:
        workload = self._workload(colour)
        found = running(workload)
        if found is None or found.uri != what.uri:
            return False
        return rendered_hash(workload) == rendered_hash(self._rendered(colour, what))

    def rendered_hash(self, colour: Colour) -> str:
        """The hash that the live object of a colour carries, "" where there is none."""
        return rendered_hash(self._workload(colour))

    def apply(self, colour: Colour, what: Served) -> None:
        if self.current(colour, what):
            return
        self._apply(self._path(colour), self._rendered(colour, what))

    def progress(self, colour: Colour) -> Progress:
        workload = self._workload(colour)
        pods = self._pods(colour)
        if workload is None or running(workload) is None:
            return Progress("waiting", "its pods end") if pods else Progress("stopped")
        said = read_workload(workload)
        if said.state != "waiting":
            return said
        if (found := read_pods(self.cluster, pods)) is not None:
            return found
        warning = read_events(self.cluster, [workload_name(colour)])
        return Progress("waiting", f"{said.text}; {warning}" if warning else said.text)

    def address(self, colour: Colour) -> str:
        return self.template_address.format(service=direct_service(colour), namespace=self.cluster.namespace)

    def switch(self, colour: Colour) -> None:
        self._service()
        self._apply(self.cluster.path("v1", "services", SERVICE), selector(self.cluster.namespace, colour))

    def trouble(self, colour: Colour) -> str:
        progress = self.progress(colour)
        return "" if progress.state == "ready" else f"not ready any more: {progress.text or progress.state}"

    def open(self, colour: Colour) -> int:  # noqa: ARG002
        """Pods that are stopped take nothing new (`preStop`) and answer what they have (vLLM's shutdown timeout)."""
        return 0

    def stop(self, colour: Colour) -> None:
        """A Deployment keeps its object with no pods; an InferenceService is deleted: KServe has no such state."""
        found = self._workload(colour)
        what = running(found)
        if found is None or what is None:
            return
        if found["kind"] == "InferenceService":
            self._holding()
            self.cluster.delete(self._path(colour))
            return
        self._apply(self._path(colour), self._rendered(colour, what, replicas=0))

    def pause(self, colour: Colour, seconds: float) -> None:
        """Until a pod of the colour changes: a watch from the last list on, which may end at any time."""
        path, query = self.cluster.path("v1", "pods"), self._selected(colour)
        _, version = self.cluster.listed(path, **query)
        if self._watched.get(colour) not in (None, version):
            self._watched[colour] = version  # it changed since the last look: look at once
            return
        self._watched[colour] = version
        self.cluster.changed(path, version, seconds, **query)

    def config(self) -> Mapping[str, str]:
        """The data of the template's ConfigMap; raises InputError where there is none."""
        found = self.cluster.get(self.cluster.path("v1", "configmaps", CONFIG_MAP))
        if found is None:
            raise InputError(
                f"ConfigMap {CONFIG_MAP} is not in namespace {self.cluster.namespace}: apply the serving folder of "
                "your overlay first (manifests/runbooks/serve-a-model.md)"
            )
        data: Mapping[str, str] = found.get("data", {})
        return data

    def _rendered(self, colour: Colour, what: Served, replicas: int = 1) -> dict[str, Any]:
        return rendered(self.config(), self.cluster.namespace, colour, what, replicas)

    def _apply(self, path: str, body: Mapping[str, Any]) -> None:
        """These objects are ours: whoever set one of our fields since is named in the log, and overruled."""
        self._holding()
        try:
            self.cluster.apply(path, body)
        except ConflictError as error:
            LOG.warning("%s; taking it over: only the deployer sets these fields", error)
            self.cluster.apply(path, body, force=True)

    def _holding(self) -> None:
        if self._lease is not None and self._lease.lost.is_set():
            raise ConflictError("the Lease was lost to another deployer, or could not be renewed; this one stops")

    def _service(self) -> dict[str, Any]:
        found = self.cluster.get(self.cluster.path("v1", "services", SERVICE))
        if found is None:
            raise InputError(f"no Service {SERVICE} in namespace {self.cluster.namespace}: apply your overlay first")
        return found

    def _workload(self, colour: Colour) -> dict[str, Any] | None:
        return self.cluster.get(self._path(colour))

    def _path(self, colour: Colour) -> str:
        group, plural = PATHS[template(self.config())["kind"]]
        return self.cluster.path(group, plural, workload_name(colour))

    def _pods(self, colour: Colour) -> list[dict[str, Any]]:
        return self.cluster.listed(self.cluster.path("v1", "pods"), **self._selected(colour))[0]

    def _selected(self, colour: Colour) -> dict[str, str]:
        return {"labelSelector": f"{NAME_LABEL}={SERVICE},{COLOUR_LABEL}={colour}"}
