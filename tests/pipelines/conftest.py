"""One finished smoke run, shared by the tests that look at what a run leaves."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from interpreters import started
from tests_support import smoke_command

# The value of every secret that a run is given here: found nowhere afterwards.
CANARY = f"canary-{uuid.uuid4().hex}"


@dataclass(frozen=True)
class Run:
    """A `biomed-r1 run` that ended: its exit code, what it printed, and its summary where it wrote one."""

    code: int
    stdout: str
    stderr: str
    summary: dict[str, Any]

    def stage(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = next(s for s in self.summary["stages"] if s["name"] == task)
        return found


Runner = Callable[..., Run]


@pytest.fixture(scope="session")
def environment(servers: Mapping[str, str]) -> dict[str, str]:
    """The environment of the suite's servers with a store prefix that all runs here share, so that they reuse."""
    own = {
        **dict.fromkeys(("HF_TOKEN", "KFP_TOKEN", "OPENAI_API_KEY", "DEEPSEEK_API_KEY"), CANARY),
        "BIOMED_R1_STORE": f"s3://biomed-r1/runs-{uuid.uuid4().hex[:8]}",
        "BIOMED_R1_NEEDED_DISK_BYTES": "1000000000",
        # A password in the address, which the server here does not ask for.
        "MLFLOW_TRACKING_URI": servers["MLFLOW_TRACKING_URI"].replace("://", f"://anna:{CANARY}@"),
    }
    return {**os.environ, **servers, **own}


@pytest.fixture(scope="session")
def interpreters(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of runs whose tasks share their imports; for runs in which nothing is killed."""
    with started(tmp_path_factory.mktemp("interpreters"), environment) as variables:
        yield {**environment, **variables}


@pytest.fixture(scope="session")
def smoke(
    environment: dict[str, str],
    interpreters: dict[str, str],
    tiny_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Runner:
    """Runs the smoke recipe on the tiny model: `smoke("--set", "evaluate.max_new_tokens=8", FAULT="x")`.

    With variables, or `alone`, each task's process imports what it needs, as it does for a user.
    """

    def run(*arguments: str, timeout: float = 1800, alone: bool = False, **variables: str) -> Run:
        file = tmp_path_factory.mktemp("summary") / "out.json"
        done = subprocess.run(
            smoke_command("--set", f"base_model={tiny_model}", "--json", str(file), *arguments),
            env={**environment, **variables} if variables or alone else interpreters,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        summary = json.loads(file.read_text()) if file.is_file() else {}
        return Run(done.returncode, done.stdout, done.stderr, summary)

    return run


@pytest.fixture(scope="session")
def canary() -> str:
    return CANARY


@pytest.fixture(scope="session")
def finished(smoke: Runner) -> Run:
    run = smoke()
    assert run.code == 0, run.stderr
    return run


@pytest.fixture
def kfp() -> Iterator[Any]:
    """A Kubeflow Pipelines API on loopback; the test fails when a request breaks its contract."""
    from tests.pipelines.cluster_verbs import served

    with served() as server:
        yield server


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """Runs `biomed-r1 ...` in this process, with a token that must be in nothing it prints."""
    from tests.pipelines.cluster_verbs import make_verb

    return make_verb(monkeypatch, capfd, tmp_path)
