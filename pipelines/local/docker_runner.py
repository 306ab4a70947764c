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
from components.platform import environment, events, execution, faults
from components.platform.tracking import runs as tracking

LABEL = "biomed-r1.run"
# The user of the images (images/*.Dockerfile).
USER = "10001:10001"
# A ceiling, not a reservation: a stage's scratch and models are in memory only while it runs.
TMP_SIZE = "16g"
PASSED_ON = (
    execution.STORE_VARIABLE,
    execution.RUN_VARIABLE,
    execution.FRESH_VARIABLE,
    tracking.PARENT_VARIABLE,
    events.RUN_FOLDER_VARIABLE,
    faults.VARIABLE,
    environment.LOG_LEVEL,
    environment.LOG_FORMAT,
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_S3",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_EXPERIMENT_NAME",
    "HF_TOKEN",
    "OMP_NUM_THREADS",
)


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
        "mounts": [Mount(str(path), str(path), type="bind") for path in writable[1:]],
        "environment": {name: os.environ[name] for name in (*PASSED_ON, *keys) if name in os.environ},
    }


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
