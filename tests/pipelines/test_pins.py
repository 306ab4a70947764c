"""`biomed-r1 pin` against a server that answers the hub's API, well and badly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform.models import hub_commit
from pipelines.settings.pins import pin_reference, pin_text, unpinned
from pipelines.settings.training_recipe import load_training_recipe

MODEL, DATA, OLD = "a" * 40, "b" * 40, "c" * 40
RECIPE = f"""# Our own recipe. Models come from hf:not/this-one, see below.
name: mine   # a comment: hf:org/model stays here
data:
  benchmarks: hf:datasets/org/questions   # of 2025
  train: "samples"
base_model: 'hf:org/model'

models: [hf:org/model, "hf:org/other@main", hf:org/fixed@{OLD}]
"""
Answer = tuple[int, bytes]


class Hub:
    """What the hub says of /api/models/... and /api/datasets/...; every path that was asked for is kept."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                status, body = hub.answers.get(self.path.partition("?")[0], (404, b'{"error": "Not found"}'))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def knows(self, path: str, sha: object) -> None:
        self.answers[f"/api/{path}"] = (200, json.dumps({"id": "org/x", "sha": sha, "siblings": []}).encode())


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    made.knows("models/org/model", MODEL)
    made.knows("models/org/other/revision/main", MODEL)
    made.knows("datasets/org/questions", DATA)
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


Pin = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    (tmp_path / "mine.yaml").write_text(RECIPE, encoding="utf-8")

    def run(endpoint: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_canary"}
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "pin", str(tmp_path / "mine.yaml"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_every_moving_reference_is_pinned_and_nothing_else_changes(hub: Hub, pin: Pin) -> None:
    done = pin(hub.url)
    assert done.returncode == 0, done.stderr
    expected = (
        RECIPE.replace("'hf:org/model'", f"'hf:org/model@{MODEL}'")
        .replace("[hf:org/model,", f"[hf:org/model@{MODEL},")
        .replace("hf:org/other@main", f"hf:org/other@{MODEL}")
        .replace("hf:datasets/org/questions ", f"hf:datasets/org/questions@{DATA} ")
    )
    assert done.stdout == expected
    assert "3 pinned" in done.stderr and len(hub.asked) == 3


GARBAGE = json.dumps({"id": "org/x", "sha": "main"}).encode()
BAD_ANSWERS: dict[str, tuple[Answer, list[str]]] = {
    "no such repository": ((404, b'{"error": "Repository not found"}'), ["hf:org/model"]),
    "not allowed": ((401, b'{"error": "Invalid credentials"}'), ["hf:org/model", "HF_TOKEN"]),
    "not JSON": ((200, b"<html>captive portal</html>"), ["hf:org/model"]),
    "no commit": ((200, GARBAGE), ["hf:org/model", "'main'"]),
    "no sha": ((200, b'{"id": "org/x"}'), ["hf:org/model", "None"]),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_is_told(case: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)
    answer, told = BAD_ANSWERS[case]
    hub.answers["/api/models/org/model"] = answer
    with pytest.raises(InputError) as refused:
        pin_text(RECIPE, hub_commit)
    assert all(text in str(refused.value) for text in told) and "org/other" not in str(refused.value)


def test_a_refusal_is_exit_2_and_nothing_is_written(hub: Hub, pin: Pin, tmp_path: Path) -> None:
    hub.answers["/api/models/org/model"] = BAD_ANSWERS["not allowed"][0]
    done = pin(hub.url, "-o", str(tmp_path / "out.yaml"))
    assert done.returncode == 2 and "mine.yaml: nothing was written" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "canary" not in done.stderr and not (tmp_path / "out.yaml").exists()


def test_an_unreachable_hub_is_exit_2_and_names_every_reference(pin: Pin) -> None:
    done = pin("http://127.0.0.1:9")
    assert done.returncode == 2 and "check the network" in done.stderr
    assert all(name in done.stderr for name in ("hf:org/model:", "hf:org/other@main:", "hf:datasets/org/questions:"))
    assert done.stdout == ""


def test_a_malformed_reference_is_named() -> None:
    with pytest.raises(InputError, match=r"hf:org: write hf:ORG/NAME"):
        pin_text("base_model: hf:org\n", lambda *_: MODEL)


def test_a_reference_across_lines_is_refused_rather_than_lost() -> None:
    with pytest.raises(InputError, match="a line of its own"):
        pin_text('base_model: "hf:org/\\\n  model"\n', lambda *_: MODEL)


def test_unpinned_looks_at_every_field() -> None:
    changes = ["base_model=hf:org/model", "data.benchmarks=hf:datasets/org/questions@main"]
    recipe = load_training_recipe("smoke", changes)
    assert unpinned(recipe) == ["hf:org/model", "hf:datasets/org/questions@main"]
    assert unpinned(load_training_recipe("smoke", [f"base_model=hf:org/model@{OLD}"])) == []


def test_one_reference_is_pinned_by_itself() -> None:
    sha = "a" * 40
    assert pin_reference("hf:org/name", lambda *_: sha) == f"hf:org/name@{sha}"
    assert pin_reference("hf:datasets/org/name@main", lambda *_: sha) == f"hf:datasets/org/name@{sha}"
    assert pin_reference(f"hf:org/name@{sha}", lambda *_: "b" * 40) == f"hf:org/name@{sha}"
    with pytest.raises(InputError, match="write hf:ORG/NAME"):
        pin_reference("hf:name", lambda *_: sha)
