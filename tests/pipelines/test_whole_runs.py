"""Whole runs that take minutes: real weights, and no network but loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support import smoke_command

pytestmark = pytest.mark.slow


def own_home(tmp_path: Path, _home: Path) -> dict[str, str]:
    """An environment with servers of its own, nothing configured, and the suite's converted model."""
    home = tmp_path / "home"
    (home).mkdir()
    os.symlink(_home / "models", home / "models")
    names = ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")
    clean = {k: v for k, v in os.environ.items() if k not in names}
    return {**clean, "BIOMED_R1_HOME": str(home), "HOME": str(tmp_path)}


def servers_of(home: str) -> list[int]:
    state = Path(home) / "servers/state.json"
    known = json.loads(state.read_text()).values() if state.is_file() else []
    pids = [server["pid"] for server in known if isinstance(server, dict)]
    return [p for p in pids if psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def environment_of_its_own(tmp_path: Path, _home: Path, smollm: Path) -> Any:
    environment = own_home(tmp_path, _home)
    yield environment
    for pid in servers_of(environment["BIOMED_R1_HOME"]):
        for process in (*psutil.Process(pid).children(recursive=True), psutil.Process(pid)):
            process.kill()


def test_smoke_on_real_weights_with_only_loopback(environment_of_its_own: dict[str, str], tmp_path: Path) -> None:
    """In a network namespace with nothing but lo, on servers that the run starts itself."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("unshare -n is not permitted here")
    out = tmp_path / "out.json"
    inside = "ip link set lo up && exec " + " ".join(smoke_command("--json", str(out)))
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside], env=environment_of_its_own, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(out.read_text())
    assert len({m["weights_sha256"] for m in summary["models"]}) == 3
    assert summary["mlflow_uri"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing_running(
    sent: signal.Signals, code: int, environment_of_its_own: dict[str, str]
) -> None:
    process = subprocess.Popen(
        smoke_command(), env=environment_of_its_own, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    home = Path(environment_of_its_own["BIOMED_R1_HOME"])
    deadline = time.monotonic() + 120
    while not list(home.glob("runs/*/logs/classify.log")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert servers_of(str(home)) and family
    process.send_signal(sent)
    assert process.wait(60) == code
    assert servers_of(str(home)) == []
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert list(home.glob("scratch/*")) == [] and list(home.rglob("*.partial*")) == []
