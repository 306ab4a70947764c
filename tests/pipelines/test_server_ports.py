"""Ports of embedded servers: one whose socket is in use is not free."""

from __future__ import annotations

import socket
from pathlib import Path

from pipelines.local.ports import free_ports


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
