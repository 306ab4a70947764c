"""What is wrong with the pods of a colour, in words: from their status, the last lines of their logs, and events."""

from __future__ import annotations

from typing import Any

from components.platform.cluster.api import Kubernetes
from components.platform.cluster.pods import Trouble, troubles, unplaced
from components.serving.deploy.target import Progress

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
        if waiting is None and (text := unplaced(pod)):
            waiting = Progress("waiting", text, unschedulable=True)
    return waiting


def _failure(cluster: Kubernetes, pod: dict[str, Any]) -> Progress | None:
    # A server that ended is started again by its controller; one that ends again and again is a CrashLoop.
    found = next((one for one in troubles(cluster, pod) if one.kind != "Ended"), None)
    return _told(found) if found else None


def _told(found: Trouble) -> Progress:
    if found.kind == "OOM":
        return Progress("failed", f"{found.text}; raise it in the template, or serve less")
    if found.kind != "CrashLoop":
        return Progress("failed", found.text)
    models = any(word in found.log for word in DAMAGED) if found.first else True
    return Progress("failed", f"{found.text}; its last words:\n{found.log}", "model" if models else "place")


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
