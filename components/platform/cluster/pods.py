"""What is wrong with a pod, in words: from its status and the last lines of its logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.platform.cluster.api import Kubernetes

LOG_LINES = 15
IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CRASH = ("CrashLoopBackOff", "RunContainerError", "StartError")
CONFIG = ("CreateContainerConfigError", "CreateContainerError")


@dataclass(frozen=True)
class Trouble:
    """What a pod shows: `kind` is its reason's class, `log` the last lines of what it wrote, where those matter."""

    kind: str  # Pod, OOM, ImagePull, Config, CrashLoop or Ended
    text: str
    log: str = ""
    first: bool = False  # of an init container


def troubles(cluster: Kubernetes, pod: dict[str, Any]) -> Iterator[Trouble]:
    """What failed in a pod, the pod itself before its containers; nothing for one that waits or runs."""
    status, name = pod.get("status", {}), pod["metadata"]["name"]
    if status.get("phase") == "Failed" and status.get("reason"):
        yield Trouble("Pod", f"pod {name}: {status['reason']}: {status.get('message', '')}".strip())
    for first, key in ((True, "initContainerStatuses"), (False, "containerStatuses")):
        for container in status.get(key, ()):
            if found := _container(cluster, name, container, first):
                yield found


def unplaced(pod: dict[str, Any]) -> str:
    """Why no node takes a pod, "" for one that has a node."""
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"pod {pod['metadata']['name']}: Unschedulable: {condition.get('message', '')}"
    return ""


def _container(cluster: Kubernetes, pod: str, container: dict[str, Any], first: bool) -> Trouble | None:
    where = f"pod {pod}, container {container['name']}"
    waiting = container.get("state", {}).get("waiting") or {}
    ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if ended.get("reason") == "OOMKilled":
        return Trouble("OOM", f"{where}: OOM: killed at its memory limit", first=first)
    if reason in IMAGE:
        return Trouble("ImagePull", f"{where}: ImagePull: {reason}: {message or 'the image cannot be had'}")
    if reason in CONFIG:
        return Trouble("Config", f"{where}: {reason}: {message}")
    if reason in CRASH:
        log = cluster.logs(pod, container["name"], LOG_LINES, previous=True)
        log = log or cluster.logs(pod, container["name"], LOG_LINES, previous=False)
        code = f"exit code {ended['exitCode']}" if "exitCode" in ended else message
        return Trouble("CrashLoop", f"{where}: CrashLoop: {code}", log or "(no log)", first)
    if ended.get("exitCode"):
        log = cluster.logs(pod, container["name"], LOG_LINES, previous=False)
        return Trouble("Ended", f"{where}: exit code {ended['exitCode']}", log or "(no log)", first)
    return None
