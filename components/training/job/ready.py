"""Whether a cluster can run TrainJobs, asked before anything else of a run is done."""

from __future__ import annotations

from collections.abc import Iterator

from components.errors import InputError
from components.platform.checks.findings import Finding
from components.platform.cluster.api import Kubernetes
from components.training.job.body import GROUP, PLURAL, RUNTIMES, VERSION


def check_train_jobs(cluster: Kubernetes, runtime: str) -> Iterator[Finding]:
    """Whether the cluster knows TrainJobs, has the runtime that the profile names, and lets this account see its jobs.

    Raises InputError for the first of these that does not hold.
    """
    kinds = cluster.get(f"/apis/{GROUP}/{VERSION}") or {}
    if PLURAL not in {kind.get("name") for kind in kinds.get("resources", ())}:
        raise InputError(
            f"the cluster knows no TrainJob ({GROUP}/{VERSION}), which the profile's `trainer.launch: trainjob` asks "
            "for; install Kubeflow Trainer v2, or set `launch: torchrun`, on one node"
        )
    yield Finding("TrainJob", text=f"{GROUP}/{VERSION}")
    if cluster.get(cluster.path(f"{GROUP}/{VERSION}", RUNTIMES, runtime)) is None:
        raise InputError(
            f"namespace {cluster.namespace} has no TrainingRuntime {runtime}; apply an overlay with "
            "manifests/components/trainjob, or name another one in the profile (trainer.job.runtime)"
        )
    yield Finding(f"TrainingRuntime {runtime}")
    cluster.listed(cluster.path(f"{GROUP}/{VERSION}", PLURAL), limit="1")
    yield Finding("TrainJobs of this namespace")
