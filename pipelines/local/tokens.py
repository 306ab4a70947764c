"""The token of a home folder that its embedded servers answer with: stored in them at their start, asked for later."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from components.platform.processes import HOST

SECONDS = 3
_EXPERIMENT_TAG = "biomed_r1.server"
# Loopback is never asked through a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(name: str, server: Mapping[str, Any] | None, token: str) -> bool:
    """Whether the server that a state describes answers here, and is the one of this token."""
    if not server or not token:
        return False
    try:
        if name == "s3":
            return _ask(_object(server)) == token
        found = json.loads(_ask(f"{_mlflow(server)}/experiments/get?experiment_id=0"))
        return {_EXPERIMENT_TAG: token}.items() <= {t["key"]: t["value"] for t in found["experiment"]["tags"]}.items()
    except (OSError, ValueError, KeyError):
        return False


def store(name: str, server: Mapping[str, Any], token: str) -> None:
    """Give a server that has just begun to answer the token; raises OSError when it does not take it."""
    if name == "s3":
        _ask(_object(server), token.encode(), "PUT", "text/plain")
        return
    body = json.dumps({"experiment_id": "0", "key": _EXPERIMENT_TAG, "value": token}).encode()
    _ask(f"{_mlflow(server)}/experiments/set-experiment-tag", body, "POST", "application/json")


def _object(server: Mapping[str, Any]) -> str:
    return f"http://{HOST}:{server['filer']}/buckets/biomed-r1/.biomed-r1-token"


def _mlflow(server: Mapping[str, Any]) -> str:
    return f"http://{HOST}:{server['port']}/api/2.0/mlflow"


def _ask(url: str, body: bytes | None = None, method: str = "GET", kind: str = "") -> str:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind} if kind else {})
    with _OPENER.open(request, timeout=SECONDS) as answer:
        return str(answer.read().decode())
