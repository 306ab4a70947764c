"""`biomed-r1 serve` and `deploy` from the command line: a real server, and what is refused before one is started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from smoke_models import ITEMS, damaged

from components.errors import ConflictError, InputError, StageError
from components.platform.processes import free_port
from components.platform.storage import objects, store
from components.serving.deploy import smoke
from pipelines.cli.deploy import deploy_command, serve_command


def run(command: Any, *words: str) -> str:
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_what_cannot_be_done_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOMED_R1_STORE", raising=False)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match="in use by another program; choose another with --port"):
            run(serve_command, str(tmp_path), "--port", str(held.getsockname()[1]))
    with pytest.raises(InputError, match=r"has no config\.json"):
        run(serve_command, str(tmp_path), "--port", str(free_port()))
    with pytest.raises(InputError, match="--mode gitops: is for --target kubernetes"):
        run(deploy_command, "--mode", "gitops")
    with pytest.raises(InputError, match="BIOMED_R1_STORE is not set"):
        run(deploy_command)
    monkeypatch.setenv("BIOMED_R1_STORE", str(tmp_path))
    with pytest.raises(InputError, match="no version was promoted yet"):
        run(deploy_command, "--name", "nobody")
    assert run(deploy_command, "--name", "nobody", "--down") == "stopped: nothing, none was running\n"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no cluster: .*; set KUBECONFIG"):
        run(deploy_command, "--target", "kubernetes")
    assert ConflictError.exit_code == 4 and StageError.exit_code == 1


def test_why_a_model_cannot_be_served_is_said(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.local import serve

    words = ["sh", "-c", "echo no such layer: lm_head; exit 3"]
    monkeypatch.setattr(serve, "server_command", lambda *_: words)
    with pytest.raises(StageError, match=r"(?s)the model cannot be served: .*log says\nno such layer: lm_head"):
        run(serve_command, str(tiny_model), "--port", str(free_port()), "--check")


@pytest.mark.slow
def test_serve_answers_until_it_is_told_to_stop(tiny_model: Path, tmp_path: Path) -> None:
    port = free_port()
    words = ["serve", str(tiny_model), "--port", str(port), "--engine", "transformers"]
    environment = {**os.environ, "BIOMED_R1_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pipelines.cli", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        first, curl = process.stdout.readline(), process.stdout.readline().strip()
        assert f"answers at http://127.0.0.1:{port}/v1" in first, process.stderr.read()
        answer = subprocess.run(curl, shell=True, capture_output=True, text=True, timeout=60)
        assert '"finish_reason"' in answer.stdout, answer
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
    finally:
        process.kill()


@pytest.mark.slow
def test_serve_compares_answers_with_the_record(tiny_model: Path, tmp_path: Path, store_uri: str) -> None:
    uri = f"{store_uri}/models/bad"
    store.put_dir(damaged(tiny_model, tmp_path / "bad"), uri, stage="grpo", key="bad")
    objects.put_json(smoke.smoke_uri(uri), smoke.record(tiny_model, ITEMS, max_new_tokens=8))
    with pytest.raises(StageError, match="not the weights that were registered"):
        run(serve_command, uri, "--port", str(free_port()), "--engine", "transformers", "--check")
