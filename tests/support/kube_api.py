"""A Kubernetes API on loopback: server-side apply with field owners, leases by resourceVersion, watches that break off.

And what stands behind it: a controller that makes pods of Deployments and InferenceServices, which fail as planned.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]
Field = tuple[str, ...]
# Of a Service: one value, not a map of fields (its mapType is atomic).
ATOMIC = ("spec", "selector")


class Refused(Exception):
    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason


def leaves(value: Any, path: Field = ()) -> dict[Field, Any]:
    """The fields that a body sets, by path; lists are one value."""
    if isinstance(value, dict) and value and path != ATOMIC:
        return {field: leaf for key, inner in value.items() for field, leaf in leaves(inner, (*path, key)).items()}
    return {path: value}


def put(body: Json, path: Field, value: Any) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value


def drop(body: Json, path: Field) -> None:
    for name in path[:-1]:
        body = body.get(name) or {}
    body.pop(path[-1], None)


class KubeApi:
    """`objects` by path; `owners` by path, then field. `plans`: what becomes of a URI's pods (see `_pod_status`)."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.owners: dict[str, dict[Field, set[str]]] = {}
        self.plans: dict[str, str] = {}
        self.logs: dict[str, str] = {}
        self.requests: list[str] = []
        self.faults: list[tuple[str, Any]] = []  # (pattern of "METHOD path?query", status or "lost"), each used once
        self.room = 2  # pods that fit at once
        self.forbidden: str = ""  # pattern of requests that RBAC denies
        self.oldest = 0  # a watch from before this version is answered with 410
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._version = itertools.count(1)
        self.version = 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    # What a test sees and does without HTTP.

    def object(self, kind: str, name: str) -> Json:
        (found,) = [o for path, o in self.objects.items() if path.endswith(f"/{kind}/{name}")]
        return found

    def put(self, path: str, body: Json, manager: str = "kubectl") -> Json:
        """Somebody else's apply, by force."""
        with self.lock:
            return self.apply(path, body, manager, True)

    def served(self) -> str:
        """The URI that users of Service `serving` reach, "" when no ready pod is behind it."""
        with self.lock:
            self.control()
            selector = self.object("services", "serving")["spec"].get("selector")
            for pod in self._pods():
                if selector and selector.items() <= pod["metadata"]["labels"].items() and _ready(pod):
                    return str(pod["metadata"]["annotations"]["biomed-r1/model-uri"])
            return ""

    # The API.

    def store(self, path: str, body: Json) -> Json:
        self.version = next(self._version)
        old = self.objects.get(path)
        body["metadata"]["resourceVersion"] = str(self.version)
        body["metadata"].setdefault("creationTimestamp", f"2026-01-01T00:00:{self.version % 60:02}Z")
        generation = (old or {}).get("metadata", {}).get("generation", 0)
        changed = old is None or old.get("spec") != body.get("spec")
        body["metadata"]["generation"] = generation + changed
        self.objects[path] = body
        self.changed.notify_all()
        return body

    def apply(self, path: str, body: Json, manager: str, force: bool) -> Json:
        owners = self.owners.setdefault(path, {})
        body = copy.deepcopy(body)
        for name in ("apiVersion", "kind"):
            body.pop(name)
        for name in ("name", "namespace"):
            body["metadata"].pop(name, None)
        wanted = {p: v for p, v in leaves(body).items() if p not in ((), ("metadata",))}
        now = copy.deepcopy(self.objects.get(path) or {"metadata": {}})
        present = leaves(now)
        conflicts = {
            field: sorted(owners[field] - {manager})
            for field, value in wanted.items()
            if owners.get(field, set()) - {manager} and present.get(field) != value
        }
        if conflicts and not force:
            field, (owner, *_) = next(iter(conflicts.items()))
            raise Refused(
                409,
                f'Apply failed with {len(conflicts)} conflict: conflict with "{owner}": .{".".join(field)}',
                "Conflict",
            )
        for field in [f for f, who in owners.items() if manager in who and f not in wanted]:
            owners[field].discard(manager)
            if not owners[field]:
                del owners[field]
                drop(now, field)
        for field, value in wanted.items():
            put(now, field, value)
            owners[field] = {manager} if field in conflicts else owners.get(field, set()) | {manager}
        return self._named(path, now)

    def _named(self, path: str, body: Json) -> Json:
        parts = path.split("/")
        body.setdefault("metadata", {}).update(name=parts[-1], namespace=parts[-3])
        body["kind"] = {
            "deployments": "Deployment", "inferenceservices": "InferenceService", "services": "Service",
            "configmaps": "ConfigMap", "leases": "Lease",
        }.get(parts[-2], parts[-2])  # fmt: skip
        return self.store(path, body)

    def answer(self, method: str, path: str, query: dict[str, str], body: Json | None) -> Any:
        self.control()
        match method:
            case "GET" if path.endswith("/log"):
                return self.logs.get(path.split("/")[-2], "")
            case "GET" if re.search(r"/namespaces/[^/]+/[a-z]+$", path):
                return self._list(path, query)
            case "GET":
                if path not in self.objects:
                    raise Refused(404, f"{path.rsplit('/', 2)[1]} {path.rsplit('/', 1)[1]!r} not found", "NotFound")
                return self.objects[path]
            case "PATCH":
                assert body is not None
                return self.apply(path, body, query["fieldManager"], query.get("force") == "true")
            case "POST":
                assert body is not None
                where = f"{path}/{body['metadata']['name']}"
                if where in self.objects:
                    raise Refused(409, f"{body['metadata']['name']!r} already exists", "AlreadyExists")
                return self._named(where, copy.deepcopy(body))
            case "PUT":
                assert body is not None
                now = self.objects.get(path)
                if now is None:
                    raise Refused(404, "not found", "NotFound")
                version = body["metadata"].get("resourceVersion")
                if version and version != now["metadata"]["resourceVersion"]:
                    raise Refused(409, "the object has been modified; please apply your changes to the latest version")
                return self._named(path, copy.deepcopy(body))
            case "DELETE":
                self.objects.pop(path, None)
                self.owners.pop(path, None)
                self.control()
                return {"kind": "Status", "status": "Success"}
        raise Refused(405, method)

    def _list(self, path: str, query: dict[str, str]) -> Json:
        found = [o for where, o in self.objects.items() if where.rpartition("/")[0] == path]
        wanted = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
        found = [o for o in found if wanted.items() <= o["metadata"].get("labels", {}).items()]
        return {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": found}

    def watch(self, query: dict[str, str]) -> Iterator[Json]:
        """Events of anything from a version on: enough for whoever lists again."""
        since = int(query.get("resourceVersion") or 0)
        if since < self.oldest:
            yield {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
            return
        deadline = time.monotonic() + min(float(query.get("timeoutSeconds", 1)), 0.2)
        with self.changed:
            while self.version <= since and time.monotonic() < deadline:
                self.changed.wait(0.02)
                self.control()
            if self.version > since:
                metadata = {"resourceVersion": str(self.version)}
                yield {"type": "MODIFIED", "object": {"kind": "Pod", "metadata": metadata}}

    # The controllers.

    def control(self) -> None:
        for path, workload in list(self.objects.items()):
            if path.split("/")[-2] in ("deployments", "inferenceservices"):
                self._workload(path, workload)
        for path, pod in list(self.objects.items()):
            owner = pod["metadata"].get("owner")
            if owner and (owner not in self.objects or not self._wants(owner, pod)):
                del self.objects[path]
                self.version = next(self._version)
                self.changed.notify_all()

    def _wants(self, owner: str, pod: Json) -> bool:
        workload = self.objects[owner]
        return bool(workload["spec"].get("replicas", 1)) and pod["metadata"]["made"] == _template(workload)

    def _workload(self, path: str, workload: Json) -> None:
        template, replicas = _template(workload), workload["spec"].get("replicas", 1)
        status = workload.setdefault("status", {})
        pods = [p for p in self._pods() if p["metadata"]["owner"] == path and p["metadata"]["made"] == template]
        uri = template["annotations"]["biomed-r1/model-uri"]
        if replicas and not pods and self.plans.get(uri) != "denied":
            root = path.partition("/namespaces/")[2].split("/")[0]
            name = f"{path.rsplit('/', 1)[1]}-{next(self._version)}"
            pod = {
                "kind": "Pod",
                "metadata": {"name": name, "owner": path, "made": copy.deepcopy(template), **copy.deepcopy(template)},
                "status": {"phase": "Pending"},
            }
            self.store(f"/api/v1/namespaces/{root}/pods/{name}", pod)
            return
        for pod in pods:
            self._pod(pod, uri)
        ready = sum(map(_ready, pods)) if replicas else 0
        conditions = [{"type": "Ready", "status": "True" if ready else "False", "message": "predictor"}]
        if self.plans.get(uri) == "denied":
            said = "exceeded quota: requests.nvidia.com/gpu=1"
            conditions = [{"type": "ReplicaFailure", "status": "True", "message": said}]
        status.update(
            observedGeneration=workload["metadata"]["generation"], replicas=len(pods) if replicas else 0,
            updatedReplicas=len(pods) if replicas else 0, readyReplicas=ready, conditions=conditions,
        )  # fmt: skip

    def _pods(self) -> list[Json]:
        return [o for path, o in self.objects.items() if "/pods/" in path]

    def _pod(self, pod: Json, uri: str) -> None:
        placed = [p for p in self._pods() if p["status"].get("nodeName") or p is pod]
        status = _pod_status(self.plans.get(uri, ""), len(placed) <= self.room)
        if {**pod["status"], **status} != pod["status"]:
            pod["status"] = status
            self.store(next(path for path, o in self.objects.items() if o is pod), pod)
            if "CrashLoop" in json.dumps(status):
                self.logs[pod["metadata"]["name"]] = "loading weights\nValueError: no such layer: lm_head"


def _pod_status(plan: str, room: bool) -> Json:
    if not room:
        message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        return {"phase": "Pending", "conditions": [condition]}
    state: Json = {"name": "vllm", "state": {"running": {}}, "ready": plan == ""}
    if plan == "crash":
        state |= {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
        state |= {"lastState": {"terminated": {"reason": "Error", "exitCode": 1}}}
    if plan == "image":
        state |= {"state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}}
    if plan == "oom":
        state |= {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        state |= {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    if plan == "secret":
        state |= {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}}
    key = "initContainerStatuses" if plan == "fetch" else "containerStatuses"
    if plan == "fetch":
        state |= {"name": "fetch-model", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    return {"phase": "Running", "nodeName": "node-1", key: [state]}


def _template(workload: Json) -> Json:
    if workload["kind"] == "InferenceService":
        return {name: workload["spec"]["predictor"][name] for name in ("labels", "annotations")}
    metadata = workload["spec"]["template"]["metadata"]
    return {name: metadata[name] for name in ("labels", "annotations")}


def _ready(pod: Json) -> bool:
    return any(c["ready"] for c in pod["status"].get("containerStatuses", ()))


def _handler(api: KubeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query))
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            line = f"{self.command} {self.path}"
            with api.lock:
                api.requests.append(line)
                fault = next((f for f in api.faults if re.search(f[0], line)), None)
                if fault:
                    api.faults.remove(fault)
            if fault and fault[1] == "lost":
                self.close_connection = True
                return
            if query.get("watch"):
                self._watch(query)
                return
            try:
                if fault and isinstance(fault[1], int):
                    raise Refused(fault[1], "planned")
                if api.forbidden and re.search(api.forbidden, line):
                    raise Refused(403, f"{line} is forbidden", "Forbidden")
                if self.command == "PATCH":
                    assert self.headers["Content-Type"] == "application/apply-patch+yaml", self.headers
                with api.lock:
                    answer = api.answer(self.command, parts.path, query, body)
                if fault and fault[1] == "unanswered":
                    self.close_connection = True
                    return
                self._send(200, answer)
            except Refused as refused:
                value = {"kind": "Status", "code": refused.code, "reason": refused.reason, "message": refused.message}
                self._send(refused.code, value)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def _watch(self, query: dict[str, str]) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for event in api.watch(query):
                text = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")

        def _send(self, status: int, value: Any) -> None:
            text = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def kube_api() -> Iterator[KubeApi]:
    api = KubeApi()
    try:
        yield api
    finally:
        api.close()
