"""The machine or pod that a run works in: home folder, caches, free space, user, and on a cluster its API server."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.platform.checks.findings import Finding
from components.platform.machine import existing, home

# Linux takes 107 bytes for a Unix socket's address; the embedded servers keep theirs at this place below the home.
LONGEST_SOCKET = 107
_SOCKET = "servers/s3/filer.sock"
CACHES = ("HF_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR")
# What the pod's own disk has to have free whatever the task, in bytes; a task's `scratch` is its own limit.
SPARE_BYTES = 1 << 30
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# A new pod's network policy may take half a second to apply.
EGRESS_SECONDS = 10.0


def check_home(embedded: bool) -> None:
    """Raise InputError unless the home folder can be written and, for embedded servers, has a name that they take."""
    folder = home()
    if embedded:
        text = str(folder)
        for sign in ("%", "?", "#"):
            if sign in text:
                raise InputError(
                    f"BIOMED_R1_HOME={text}: {sign!r} means something else in the embedded MLflow's database address; "
                    "choose a path without it"
                )
        length = len(str(folder / _SOCKET).encode())
        if length > LONGEST_SOCKET:
            raise InputError(
                f"BIOMED_R1_HOME={text}: {length - LONGEST_SOCKET} bytes too long for the embedded servers' sockets "
                f"(Linux takes {LONGEST_SOCKET}); choose a shorter path"
            )
    _check_writable(folder, "BIOMED_R1_HOME")


def check_caches() -> Iterator[Finding]:
    """Whether the folders that libraries write to can be written, for those that are named in the environment."""
    for name in ("HOME", "TMPDIR", *CACHES):
        if path := os.environ.get(name):
            try:
                _check_writable(Path(path), name)
            except InputError as error:
                # Images run without root and read-only; only what libraries need must be writable.
                yield Finding(f"folder {name}", "warning" if name == "HOME" else "failed", str(error))
            else:
                yield Finding(f"folder {name}")


def check_space(needed: int = SPARE_BYTES) -> Iterator[Finding]:
    """Whether the temporary folder and the home folder have space left, on whatever disk each is."""
    for name, folder in (("temporary folder", Path(tempfile.gettempdir())), ("BIOMED_R1_HOME", home())):
        folder = existing(folder)
        free = shutil.disk_usage(folder).free
        if free < needed:
            text = (
                f"{folder}: {free / 1e9:.1f} GB free of the {needed / 1e9:.1f} a task needs; raise the role's `scratch`"
            )
            yield Finding(f"space of the {name}", "failed", text)
        else:
            yield Finding(f"space of the {name}", text=f"{free / 1e9:.1f} GB free")


def check_user() -> Iterator[Finding]:
    """Whether this process runs as somebody other than root, as the images do."""
    if os.getuid() == 0:
        text = "root; the images run as uid 10001, and PodSecurity `restricted` refuses root"
        yield Finding("user", "warning", text)
    else:
        yield Finding("user", text=f"uid {os.getuid()}")


def in_cluster() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def check_api_server(run: str) -> Iterator[Finding]:
    """Egress to the API server, without which every task "succeeds" and its pod never ends, and who retries what."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    reason = _connects(host, port)
    if reason:
        text = (
            f"{host}:{port}: {reason}; a pod that cannot reach it never reports its result, so its task never ends: "
            "let runs through in the NetworkPolicy"
        )
        yield Finding("egress to the Kubernetes API", "failed", text)
        return
    yield Finding("egress to the Kubernetes API")
    if workflow := read_workflow(run):
        yield Finding("retries", text=retries(workflow))


def read_workflow(run: str) -> dict[str, Any] | None:
    """The Argo Workflow of a run, or None where the pod's account may not read it (docs/policies/kubernetes.json)."""
    import requests

    try:
        token = (SERVICE_ACCOUNT / "token").read_text().strip()
        namespace = (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        return None
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    try:
        answer = requests.get(
            f"https://{address}:{port}/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows",
            params={"labelSelector": f"pipeline/runid={run}", "limit": "1"},
            headers={"Authorization": f"Bearer {token}"},
            verify=str(SERVICE_ACCOUNT / "ca.crt"),
            timeout=5,
            # A company's proxy knows nothing of the cluster's own addresses.
            proxies={"https": ""},
        )
        items = answer.json().get("items", []) if answer.status_code == 200 else []
    except (requests.RequestException, ValueError):
        return None
    return dict(items[0]) if items else None


def retries(workflow: dict[str, Any]) -> str:
    """In words, what of a failed task the cluster's Argo does again."""
    strategy = workflow.get("spec", {}).get("templateDefaults", {}).get("retryStrategy") or {}
    policy = strategy.get("retryPolicy", "OnFailure")
    meaning = {
        "OnError": "a deleted or refused pod is tried again, a task that fails (exit code, memory, eviction) is not",
        "OnFailure": "a task that fails is tried again, a deleted pod is not",
        "OnTransientError": "only what Argo calls transient is tried again",
        "Always": "whatever ends a task badly is tried again",
    }.get(policy, "see Argo's documentation")
    return f"retryPolicy {policy}: {meaning}"


def _connects(host: str, port: int) -> str:
    """Why no TLS server answers there; "" when one does. Tries for EGRESS_SECONDS."""
    deadline = time.monotonic() + EGRESS_SECONDS
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # reachable is the question, nothing is sent
    while True:
        try:
            with socket.create_connection((host, port), timeout=3) as plain, context.wrap_socket(plain):
                return ""
        except OSError as error:
            if time.monotonic() > deadline:
                return str(error) or type(error).__name__
            time.sleep(0.5)


def _check_writable(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".biomed-r1-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        raise InputError(
            f"{name}={folder}: cannot be written by uid {os.getuid()} ({error.strerror or error}); "
            f"point {name} at a folder that can"
        ) from None
