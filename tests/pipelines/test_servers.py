"""Ports of embedded servers: one in use is not taken, one that is taken meanwhile is given up."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from components.errors import StageError
from components.platform.storage import s3
from pipelines.local import servers
from pipelines.local.ports import free_ports

CONFIGURED = ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")


def test_a_server_that_refuses_its_clients_is_told_with_its_own_reason(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("servers")  # the suite's own
    state = servers.read_state()
    monkeypatch.setattr(servers, "START_SECONDS", 5)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3.client.cache_clear()
    try:
        with pytest.raises(StageError, match=r"s3 server did not start \(.*SignatureDoesNotMatch.*\); see .*s3\.log"):
            servers._wait("s3", state["s3"], state["token"])
    finally:
        s3.client.cache_clear()


@pytest.mark.slow
def test_a_port_that_is_taken_while_a_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was free when it was looked for; the server ends, and is started again on another."""
    for name in CONFIGURED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BIOMED_R1_STORE", "s3://not/asked")  # MLflow alone is started
    monkeypatch.setenv("BIOMED_R1_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = [other.getsockname()[1]]
        monkeypatch.setattr(servers, "free_ports", lambda *a, **k: [taken.pop()] if taken else free_ports(*a, **k))
        try:
            up = servers.up()
            assert up.started == ("mlflow",) and not taken
            assert up.environment == {"MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"]}
            assert str(other.getsockname()[1]) not in up.environment["MLFLOW_TRACKING_URI"]
        finally:
            servers.down()


def test_a_port_whose_socket_another_namespace_uses_is_not_free() -> None:
    port = free_ports(19000, 1, spread=True)[0]
    path = Path(f"/tmp/seaweedfs-master-grpc-{port + 10000}.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        try:
            assert free_ports(port, 1, spread=True) != [port]
        finally:
            path.unlink()
    path.touch()  # left by a server that was killed
    assert free_ports(port, 1, spread=True) == [port]
    path.unlink()
