"""The servers with the very arguments of the manifests: MLflow on PostgreSQL with accounts, and vLLM."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from kubectl import MANIFESTS, pod_specs
from postgres import free_port

pytestmark = pytest.mark.slow
ADMIN = ("admin", "an administrator's password")


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], url: str, log: Path, wait: int) -> Iterator[None]:
    """A server process, from its first answer on /health until the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if requests.get(f"{url}/health", timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.5)
        else:
            pytest.fail(log.read_text(errors="replace")[-3000:])
        yield
    finally:
        process.terminate()
        process.wait(30)


def _pod(objects: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    return next(pod for name, _, pod in pod_specs(objects) if name == wanted)


def _plain(container: Mapping[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def test_mlflow_starts_as_deployed(
    rendered: dict[str, list[dict[str, Any]]], postgres: tuple[Path, int], store_uri: str, tmp_path: Path
) -> None:
    """The init step on an empty database, then hosts, accounts and permissions."""
    programs, database = postgres
    login = ["--host=127.0.0.1", f"--port={database}", "--username=mlflow"]
    subprocess.run([str(programs / "createdb"), *login, "mlflow"], check=True, timeout=30)
    port, pod = free_port(), _pod(rendered["kind"], "Deployment/mlflow")

    def local(words: Sequence[str]) -> list[str]:
        changes = {
            "postgres:5432": f"127.0.0.1:{database}", "--port=5000": f"--port={port}", "0.0.0.0": "127.0.0.1",
            "$(BIOMED_R1_STORE)": store_uri,
        }  # fmt: skip
        for old, new in changes.items():
            assert old in " ".join([*pod["initContainers"][0]["command"], *pod["containers"][0]["args"]])
            words = [word.replace(old, new) for word in words]
        return [sys.executable, *words[1:]]

    config = tmp_path / "basic_auth.ini"
    config.write_text((MANIFESTS / "base/basic_auth.ini").read_text().replace("postgres:5432", f"127.0.0.1:{database}"))
    container = pod["containers"][0]
    environment = {
        **_plain(container), "HOME": str(tmp_path), "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0], "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key",
    }  # fmt: skip
    upgrade = local(pod["initContainers"][0]["command"])
    subprocess.run(upgrade, env={**os.environ, **environment}, check=True, timeout=120, capture_output=True)
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    with _running(local([*container["command"], *container["args"]]), environment, url, log, 120):

        def ask(host: str, auth: tuple[str, str] | None = ADMIN) -> int:
            path = f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0"
            return requests.get(path, headers={"Host": host}, auth=auth, timeout=20).status_code

        forms = ["mlflow", "mlflow.biomed-r1", "mlflow.biomed-r1.svc", "mlflow.biomed-r1.svc.cluster.local"]
        for host in [*forms, *(f"{form}:5000" for form in forms), "localhost:5000"]:
            assert ask(host) == 200, host
        assert ask("evil.example") == 403
        assert ask("mlflow", None) == 401
        assert ask("mlflow", (ADMIN[0], "wrong")) == 401

        def post(what: str, body: dict[str, str], auth: tuple[str, str]) -> int:
            headers = {"Host": "mlflow:5000"}
            return requests.post(
                f"{url}/api/2.0/mlflow/{what}", json=body, headers=headers, auth=auth, timeout=20
            ).status_code

        runner = ("runner", "the runner's password")
        assert post("users/create", {"username": runner[0], "password": runner[1]}, ADMIN) == 200
        assert post("experiments/create", {"name": "biomed-r1"}, runner) == 200
        assert post("registered-models/create", {"name": "biomed-r1"}, runner) == 200
        assert post("users/create", {"username": "another", "password": "a long password"}, runner) == 403
    assert ADMIN[1] not in log.read_text(errors="replace")


def test_vllm_starts_as_deployed(rendered: dict[str, list[dict[str, Any]]], smollm: Path, tmp_path: Path) -> None:
    """Every flag exists, the model answers, and its S3 URI is one of its names."""
    pytest.importorskip("vllm")
    port, uri = free_port(), "s3://biomed-r1/store/artifacts/grpo/x"
    container = _pod(rendered["kind"], "Deployment/serving")["containers"][0]
    words = [*container["command"], *container["args"]]
    for old, new in {
        "/models/model": str(smollm), "$(MODEL_URI)": uri, "--port=8000": f"--port={port}",
        "--host=0.0.0.0": "--host=127.0.0.1",
    }.items():  # fmt: skip
        assert old in words
        words[words.index(old)] = new
    environment = {**_plain(container), "HOME": str(tmp_path), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_API_KEY": "a key"}
    headers = {"Authorization": "Bearer a key"}
    url = f"http://127.0.0.1:{port}"
    with _running([sys.executable, *words[1:]], environment, url, tmp_path / "log", 300):
        assert requests.get(f"{url}/v1/models", timeout=20).status_code == 401
        listed = requests.get(f"{url}/v1/models", headers=headers, timeout=20).json()
        names = [model["id"] for model in listed["data"]]
        assert names == ["biomed-r1", uri]
        asked = {"model": "biomed-r1", "prompt": "canary-question", "max_tokens": 4, "temperature": 0}
        answer = requests.post(f"{url}/v1/completions", json=asked, headers=headers, timeout=120).json()
        assert answer.get("usage", {}).get("completion_tokens", 0) >= 1, answer
    assert "canary-question" not in (tmp_path / "log").read_text(errors="replace")
