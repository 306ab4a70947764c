"""Stages as containers on this machine: what kfp.local.DockerRunner is told, and what is removed afterwards.

Containers share this machine's network, because the embedded servers listen on loopback only. Settings and secrets go
to them as environment variables; a compiled pipeline, its log and the image hold none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components.errors import InputError

LABEL = "biomed-r1.run"
# The user of the images (images/*.Dockerfile).
USER = "10001:10001"
# A ceiling, not a reservation: a stage's scratch and models are in memory only while it runs.
TMP_SIZE = "16g"
# What a container gets of this process's environment (a task that is a process gets all of it): by beginning, by name.
PREFIXES = ("BIOMED_R1_", "AWS_", "MLFLOW_", "HF_", "OMP_")
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Of this machine or this process only: its folders, its images, a run that the platform gave to somebody else, and the
# credentials' files, whose contents are passed on instead.
KEPT_BACK = frozenset(
    {
        "BIOMED_R1_HOME",
        "BIOMED_R1_CPU_IMAGE",
        "BIOMED_R1_GPU_IMAGE",
        "BIOMED_R1_REVISION",
        "HF_HOME",
        "HF_HUB_CACHE",
        "MLFLOW_RUN_ID",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
)
# Variables that name a file, which a container sees at the same place.
FILES = (
    "AWS_CA_BUNDLE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "CURL_CA_BUNDLE",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)


def passed_on(keys: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a container: a task's own variables, the libraries' and a proxy's, and `keys` of endpoints.

    Credentials and region that this machine has in files (AWS_PROFILE) go as variables.
    """
    known = {
        name: value
        for name, value in os.environ.items()
        if name not in KEPT_BACK and (name.startswith(PREFIXES) or name.upper() in NAMES or name in keys)
    }
    return {**_from_files(), **known}


def _from_files() -> dict[str, str]:
    import boto3
    from botocore.exceptions import BotoCoreError

    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    try:
        session = boto3.Session()
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
    except BotoCoreError as error:
        raise InputError(f"S3: {error}; check AWS_PROFILE and ~/.aws") from None
    found = {
        "AWS_ACCESS_KEY_ID": frozen and frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen and frozen.secret_key,
        "AWS_SESSION_TOKEN": frozen and frozen.token,
        "AWS_REGION": session.region_name,
    }
    return {name: value for name, value in found.items() if value}


def image() -> str:
    """The image of every stage here, where there is no GPU."""
    return os.environ.get("BIOMED_R1_CPU_IMAGE", "biomed-r1-python-cpu:dev")


def check() -> None:
    """Raise InputError unless Docker answers and has the image."""
    from docker.errors import ImageNotFound

    with _client() as client:
        try:
            client.images.get(image())
        except ImageNotFound:
            raise InputError(f"image {image()}: Docker has no such image; build it with `make images`") from None


def container_arguments(folder: Path, run_id: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """How a run's containers are started (names of docker-py's containers.run); makes what they may write to.

    `keys` are the environment variables with the keys of the endpoints that the recipe asks.
    """
    from docker.types import Mount

    # Containers write as another user. The folder that holds these three is closed to everybody else instead.
    folder.chmod(0o700)
    writable = (folder / "kfp", folder / "logs", folder / "events.jsonl")
    for path in writable:
        if path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)
        path.chmod(0o666 if path.is_file() else 0o777)
    return {
        "user": USER,
        "read_only": True,
        "tmpfs": {"/tmp": f"size={TMP_SIZE},mode=1777"},
        "network_mode": "host",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        # Reaps what a stage leaves behind and passes signals on.
        "init": True,
        "labels": {LABEL: run_id},
        # KFP mounts its own folder, the first of them.
        "mounts": [
            *(Mount(str(path), str(path), type="bind") for path in writable[1:]),
            *(Mount(file, file, type="bind", read_only=True) for file in _files()),
        ],
        # Nothing that lies where a container starts is taken for a module of ours.
        "environment": {**passed_on(keys), "PYTHONSAFEPATH": "1"},
    }


def _files() -> list[str]:
    named = (os.environ.get(name, "") for name in FILES)
    return list(dict.fromkeys(file for file in named if file.startswith("/") and Path(file).is_file()))


def clear(folder: Path, run_id: str) -> None:
    """Remove a run's containers, running or not, and KFP's copies of what is in the store.

    A container removes the copies: they belong to its user, and this process need not be root.
    """
    from docker.errors import APIError, NotFound

    with _client() as client:
        for container in client.containers.list(all=True, filters={"label": f"{LABEL}={run_id}"}):
            # A container that ends meanwhile is removed by Docker itself.
            with suppress(NotFound, APIError):
                container.remove(force=True)
        if (folder / "kfp").is_dir():
            client.containers.run(
                image(),
                ["find", "/kfp", "-mindepth", "1", "-delete"],
                user=USER,
                network_mode="none",
                volumes={str(folder / "kfp"): {"bind": "/kfp", "mode": "rw"}},
                remove=True,
            )


@contextmanager
def _client() -> Iterator[Any]:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
    except DockerException as error:
        first = str(error).splitlines()[0][:160]
        raise InputError(f"Docker does not answer ({first}); start it, or run with --runner subprocess") from None
    try:
        yield client
    finally:
        client.close()
