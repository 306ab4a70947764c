"""The TrainJob of a training, as data. What every training of a site shares is in its TrainingRuntime (manifests/)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from components.platform.machine import GPUS_VARIABLE
from components.training.place import TrainerPlace

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIMES = "trainingruntimes"
# Of the TrainJob: which training it is, the run whose task watches it, the request it works on, its attempt.
TRAINING_LABEL, RUN_LABEL = "biomed-r1/training", "biomed-r1/run"
REQUEST_ANNOTATION, ATTEMPT_ANNOTATION = "biomed-r1/request", "biomed-r1/attempt"
# Of pods, set by JobSet, which has the name of its TrainJob.
JOBSET_LABEL = "jobset.sigs.k8s.io/jobset-name"
QUEUE_LABEL, PRIORITY_LABEL = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
GPU, GPU_PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
# Seconds that a pod has to store a checkpoint after SIGTERM, and then to end.
GRACE_SECONDS, END_SECONDS = 900, 60
NODE_MODULE = "components.training.job.node"


def name_of(stage: str, checkpoints: str) -> str:
    """The TrainJob's name: one for each training, whose checkpoints' address ends with its resume key."""
    return f"biomed-r1-{stage}-{hashlib.sha256(checkpoints.rstrip('/').encode()).hexdigest()[:16]}"


def train_job(name: str, place: TrainerPlace, uri: str, attempt: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The object that is created; `environment` holds values, never secrets, which the runtime names."""
    asked = place.job
    labels = {"app.kubernetes.io/name": "biomed-r1", TRAINING_LABEL: name}
    labels |= {RUN_LABEL: asked.run} if asked.run else {}
    labels |= {QUEUE_LABEL: asked.queue} if asked.queue else {}
    labels |= {PRIORITY_LABEL: asked.priority_class} if asked.priority_class else {}
    values = dict(environment) | ({GPUS_VARIABLE: str(place.gpus)} if place.gpus else {})
    trainer: dict[str, Any] = {
        "command": ["python", "-m", NODE_MODULE],
        "args": [uri, attempt],
        "numNodes": place.nodes,
        "numProcPerNode": max(1, place.gpus),
        "env": [{"name": key, "value": values[key]} for key in sorted(values)],
    }
    resources = {"cpu": asked.cpu, "memory": asked.memory, GPU: str(place.gpus) if place.gpus else None}
    if limits := {key: value for key, value in resources.items() if value}:
        trainer["resourcesPerNode"] = {"requests": limits, "limits": limits}
    if asked.image:
        trainer["image"] = asked.image
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {REQUEST_ANNOTATION: uri, ATTEMPT_ANNOTATION: attempt},
        },
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": asked.runtime},
            "trainer": trainer,
            "runtimePatches": [_patch(asked.gpu_product)],
            **({"activeDeadlineSeconds": asked.deadline_seconds} if asked.deadline_seconds else {}),
        },
    }


def _patch(gpu_product: str | None) -> dict[str, Any]:
    """Of the runtime's pods: the time that they have to save, and the nodes that they belong on."""
    pod: dict[str, Any] = {"terminationGracePeriodSeconds": GRACE_SECONDS + END_SECONDS}
    if gpu_product:
        pod["nodeSelector"] = {GPU_PRODUCT: gpu_product}
    jobs = [{"name": "node", "template": {"spec": {"template": {"spec": pod}}}}]
    return {
        "manager": "biomed-r1.trainer/task",
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
    }


def condition(job: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The TrainJob's condition of that type (Complete, Failed, Suspended) where it holds."""
    for found in job.get("status", {}).get("conditions", ()):
        if found.get("type") == kind and found.get("status") == "True":
            return dict(found)
    return None
