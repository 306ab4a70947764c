"""What the fixtures `kfp` and `verb` of the tests for a cluster are made of; apart, for importing kfp takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.kfp_server import KfpServer

CANARY = "canary-7f3a-token"
# The smoke recipe as `biomed-r1 stage` would write it: nothing of it is on this machine, so no store is asked.
STORED = ("base_model=s3://biomed-r1/inputs/base", "classify.model=s3://biomed-r1/inputs/encoder")
SMOKE = ("--recipe", "smoke", "--profile", "kind", *(part for change in STORED for part in ("--set", change)))
Verb = Callable[..., "Ended"]
_compiled: dict[Any, str] = {}


@dataclass(frozen=True)
class Ended:
    """A verb that ended: its exit code and what it printed."""

    code: int
    stdout: str
    stderr: str


@contextmanager
def served() -> Iterator[KfpServer]:
    """A server that wants the canary as its token; the test fails when a request breaks the API's contract."""
    server = KfpServer(token=CANARY)
    yield server
    server.close()
    assert server.breaches == []


def make_verb(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: Path) -> Verb:
    """Runs `biomed-r1 ...` in this process, with the canary as its token, which must be in nothing it prints."""
    from pipelines.cli import main as cli
    from pipelines.cluster import client as cluster_client
    from pipelines.cluster import uploads, watch

    for name in ("KUBECONFIG", "KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KFP_TOKEN", CANARY)
    # Neither waiting is tested here, nor compiling the same recipe again.
    monkeypatch.setattr(cluster_client, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(watch, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(uploads, "compiled", _once(uploads.compiled))

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["biomed-r1", *arguments])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        assert CANARY not in out + err
        assert "Traceback" not in err
        return Ended(code, out, err)

    return run


def _once(compiled: Callable[..., str]) -> Callable[..., str]:
    @wraps(compiled)
    def cached(recipe: Any, profile: Any) -> str:
        key = (recipe.digest(), profile.name)
        if key not in _compiled:
            _compiled[key] = compiled(recipe, profile)
        return _compiled[key]

    return cached
