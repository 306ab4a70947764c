"""The servers with the very arguments of the manifests: MLflow on PostgreSQL with accounts, and vLLM."""

from __future__ import annotations

import os
import re
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
# What the alerts and the dashboard are built on.
VLLM_METRICS = (
    "vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc",
    "vllm:time_to_first_token_seconds_bucket", "vllm:e2e_request_latency_seconds_bucket",
    "vllm:generation_tokens_total", "vllm:prompt_tokens_total", "http_requests_total",
)  # fmt: skip
ADMIN = ("admin", "an administrator's password")


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], url: str, log: Path, wait: int, path: str = "/health"
) -> Iterator[None]:
    """A server process, from its first answer on `path` until the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if requests.get(f"{url}{path}", timeout=20).ok:
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
            "--port=5000": f"--port={port}", "0.0.0.0": "127.0.0.1", "$(BIOMED_R1_STORE)": store_uri,
            ",127.0.0.1:5000": f",127.0.0.1:{port}",
        }  # fmt: skip
        for old, new in changes.items():
            assert old in " ".join(pod["containers"][0]["args"])
            words = [word.replace(old, new) for word in words]
        return [sys.executable, *words[1:]]

    config = tmp_path / "basic_auth.ini"
    config.write_text((MANIFESTS / "base/basic_auth.ini").read_text())
    container = pod["containers"][0]
    assert container["name"] == "mlflow"
    assert {"configMapRef": {"name": "mlflow-backend"}} in container["envFrom"]
    told = next(dict(item["data"]) for item in rendered["kind"] if item["metadata"]["name"] == "mlflow-backend")
    environment = {
        **_plain(container), **told, "PGHOST": "127.0.0.1", "PGPORT": str(database), "HOME": str(tmp_path),
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0], "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key",
    }  # fmt: skip
    upgrade = next(local(c["command"]) for c in pod["initContainers"] if c["name"] == "upgrade-database")
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
        _check_exporter(pod, url, runner, tmp_path)
    assert ADMIN[1] not in log.read_text(errors="replace")


def _check_exporter(pod: dict[str, Any], mlflow: str, user: tuple[str, str], tmp_path: Path) -> None:
    """The container beside MLflow, as the ordinary user that it is given."""
    container = next(container for container in pod["containers"] if container["name"] == "metrics")
    program, script, port = container["command"]
    assert (program, port) == ("python", str(container["ports"][0]["containerPort"]))
    address = _plain(container)["MLFLOW_TRACKING_URI"].removeprefix("http://")
    allowed = next(word for word in pod["containers"][0]["args"] if word.startswith("--allowed-hosts="))
    assert address in allowed.partition("=")[2].split(",")
    port = str(free_port())
    command = [sys.executable, str(MANIFESTS / "base" / script.lstrip("/")), port]
    environment = {
        **_plain(container), "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": mlflow,
        "MLFLOW_TRACKING_USERNAME": user[0], "MLFLOW_TRACKING_PASSWORD": user[1],
    }  # fmt: skip
    with _running(command, environment, f"http://127.0.0.1:{port}", tmp_path / "exporter", 60, path="/metrics"):
        said = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        assert "biomed_r1_mlflow_up 1.0\n" in said


def test_vllm_starts_as_deployed(rendered: dict[str, list[dict[str, Any]]], smollm: Path, tmp_path: Path) -> None:
    """Every flag exists, the model answers, and its S3 URI is one of its names."""
    pytest.importorskip("vllm")
    port, uri = free_port(), "s3://biomed-r1/store/artifacts/grpo/x"
    container = _pod(rendered["kind"], "Deployment/serving-blue")["containers"][0]
    words = [*container["command"], *container["args"]]
    for old, new in {
        "/models/model": str(smollm), "$(MODEL_URI)": uri, "--port=8000": f"--port={port}",
        "--host=0.0.0.0": "--host=127.0.0.1",
    }.items():  # fmt: skip
        assert old in words
        words[words.index(old)] = new
    assert _plain(container)["VLLM_CACHE_ROOT"].startswith("/cache/")
    environment = {
        **_plain(container), "HOME": str(tmp_path), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_API_KEY": "a key",
        "VLLM_CACHE_ROOT": str(tmp_path / "cache"),
    }  # fmt: skip
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
        said = requests.get(f"{url}/metrics", timeout=20)
        assert said.status_code == 200, "the key guards /v1, not what Prometheus scrapes"
        for metric in VLLM_METRICS:
            assert re.search(rf"^{metric}\{{", said.text, re.MULTILINE), metric
        assert re.search(r'^http_requests_total\{[^}]*status="2xx"', said.text, re.MULTILINE)
    assert "canary-question" not in (tmp_path / "log").read_text(errors="replace")
