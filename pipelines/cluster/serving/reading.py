"""What is wrong with the pods of a colour, in words: from their status, the last lines of their logs, and events."""

from __future__ import annotations

from typing import Any

from components.serving.deploy.target import Progress
from pipelines.cluster.serving.api import Kubernetes

LOG_LINES = 15
IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CRASH = ("CrashLoopBackOff", "RunContainerError", "StartError")
CONFIG = ("CreateContainerConfigError", "CreateContainerError")
# A first container that fails with one of these words met damaged files: the version's fault, not the place's.
DAMAGED = ("differs from its manifest", "no manifest.json", "missing, although the manifest", "not a model")


def read_pods(cluster: Kubernetes, pods: list[dict[str, Any]]) -> Progress | None:
    """The first failure that a pod shows, else that it cannot be placed, else None.

    CrashLoop, ImagePull, OOM and a missing Secret or ConfigMap are failures at once; room may be there later.
    """
    waiting: Progress | None = None
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        if failed := _failure(cluster, pod):
            return failed
        waiting = waiting or _unplaced(pod)
    return waiting


def _failure(cluster: Kubernetes, pod: dict[str, Any]) -> Progress | None:
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    if status.get("phase") == "Failed" and status.get("reason"):
        return Progress("failed", f"pod {name}: {status['reason']}: {status.get('message', '')}".strip())
    for first, key in ((True, "initContainerStatuses"), (False, "containerStatuses")):
        for container in status.get(key, ()):
            if failed := _container(cluster, name, container, first):
                return failed
    return None


def _container(cluster: Kubernetes, pod: str, container: dict[str, Any], first: bool) -> Progress | None:
    where = f"pod {pod}, container {container['name']}"
    waiting = container.get("state", {}).get("waiting") or {}
    ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if ended.get("reason") == "OOMKilled":
        return Progress("failed", f"{where}: OOM: killed at its memory limit; raise it in the template, or serve less")
    if reason in IMAGE:
        return Progress("failed", f"{where}: ImagePull: {reason}: {message or 'the image cannot be had'}")
    if reason in CONFIG:
        return Progress("failed", f"{where}: {reason}: {message}")
    if reason in CRASH:
        log = cluster.logs(pod, container["name"], LOG_LINES, previous=True)
        log = log or cluster.logs(pod, container["name"], LOG_LINES, previous=False)
        code = f"exit code {ended['exitCode']}" if "exitCode" in ended else message
        text = f"{where}: CrashLoop: {code}; its last words:\n{log or '(no log)'}"
        models = any(word in log for word in DAMAGED) if first else True
        return Progress("failed", text, "model" if models else "place")
    return None


def _unplaced(pod: dict[str, Any]) -> Progress | None:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            text = f"pod {pod['metadata']['name']}: Unschedulable: {condition.get('message', '')}"
            return Progress("waiting", text, unschedulable=True)
    return None


def read_events(cluster: Kubernetes, names: list[str]) -> str:
    """The newest warning about one of these objects (or a pod whose name begins so), "" where there is none."""
    found, _ = cluster.listed(cluster.path("v1", "events"), fieldSelector="type=Warning")
    about = [e for e in found if any(e.get("involvedObject", {}).get("name", "").startswith(name) for name in names)]
    if not about:
        return ""
    newest = max(about, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
    return f"{newest.get('reason', '')}: {newest.get('message', '')}"


def read_workload(workload: dict[str, Any]) -> Progress:
    """How far the object itself says it is; text says what it waits for."""
    status = workload.get("status", {})
    if int(status.get("observedGeneration") or 0) < int(workload["metadata"].get("generation") or 0):
        return Progress("waiting", "its controller has not seen it yet")
    conditions = {c.get("type"): c for c in status.get("conditions", ())}
    if workload["kind"] == "InferenceService":
        ready = conditions.get("Ready", {})
        done = ready.get("status") == "True"
        return Progress("ready") if done else Progress("waiting", str(ready.get("message") or "KServe makes it"))
    refused = conditions.get("ReplicaFailure", {})
    if refused.get("status") == "True":
        return Progress("failed", f"no pod can be made: {refused.get('message', refused.get('reason', ''))}")
    wanted = int(workload["spec"].get("replicas", 1))
    counts = [int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    if counts == [wanted] * 3:
        return Progress("ready")
    return Progress("waiting", f"{counts[2]} of {wanted} pods ready")
