"""Whatever talks at once waits for its peer: a new pod's network policy takes half a second to open the way."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from kubectl import SCRIPTS, containers, pod_specs
from postgres import free_port


@pytest.mark.parametrize("job", ["CronJob/biomed-r1-backup", "Deployment/mlflow"])
def test_whatever_talks_at_once_waits_for_its_peer(rendered: dict[str, list[dict[str, Any]]], job: str) -> None:
    """A new pod's policy takes half a second: the first container waits until the way is open, with a deadline."""
    pod = next(pod for name, _, pod in pod_specs(rendered["kind"]) if name == job)
    first, port = pod["initContainers"][0], free_port()
    assert first["name"] == "wait"
    words = ["127.0.0.1" if word in ("$(PGHOST)", "mlflow") else word for word in first["command"][2:]]
    words = [str(port) if word in ("$(PGPORT)", "5000") else word for word in words]
    command = [sys.executable, str(SCRIPTS["wait_for.py"]), *words]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)  # nobody listens yet, and it has not given up
    with socket.create_server(("127.0.0.1", port)):
        assert waiting.wait(20) == 0
    assert waiting.stdout is not None
    assert waiting.stdout.read() == f"127.0.0.1:{port} takes connections\n"
    waiting.stdout.close()


def test_waiting_ends_and_says_for_what(script: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert script("wait_for.py", "127.0.0.1", port, 0.2) == 1
    assert f"127.0.0.1:{port} took no connection for 0.2 s (ConnectionRefusedError" in capsys.readouterr().out
    assert script("wait_for.py", "no-such-host.invalid", port, 0.2) == 1
    assert "gaierror" in capsys.readouterr().out


def test_every_job_that_talks_at_once_has_that_first_container(rendered: dict[str, list[dict[str, Any]]]) -> None:
    for name, _, pod in pod_specs(rendered["kind"]):
        talks = any("PGPASSWORD" in str(c) or "MLFLOW_TRACKING_PASSWORD" in str(c) for c in containers(pod))
        # The deployer looks again every few seconds, and is to start also where MLflow is down.
        if talks and not name.startswith("StatefulSet/") and name != "Deployment/biomed-r1-deployer":
            assert pod["initContainers"][0]["command"][1].endswith("/wait_for.py"), name
