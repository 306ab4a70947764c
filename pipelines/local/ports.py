"""Free ports on loopback for the embedded servers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from components.errors import InputError
from components.platform.processes import HOST, is_free


def free_ports(first: int, count: int, spread: bool = False) -> list[int]:
    """`count` free ports from `first` on; with `spread` SeaweedFS's gRPC has the port 10000 above each to itself."""
    found: list[int] = []
    for port in range(first, first + 400):
        if is_free(port) and (not spread or (is_free(port + 10000) and not _has_socket(port + 10000))):
            found.append(port)
        if len(found) == count:
            return found
    raise InputError(f"no {count} free ports from {first} to {first + 400} on {HOST}; stop what holds them")


def _has_socket(port: int) -> bool:
    """Whether the Unix socket that goes with a gRPC port of SeaweedFS is somebody's.

    Its parts prefer these sockets, whose names know no network namespace: in one of its own, where the port is free, a
    server would otherwise talk to another one's parts. One that a killed server left is removed by the next server,
    unless it is another user's: /tmp lets nobody remove that.
    """
    for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
        if os.getuid() not in (0, path.lstat().st_uid):
            return True
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return True
    return False
