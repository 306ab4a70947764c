"""SIGKILL in the middle of a training: the next one continues and ends with the weights of an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.platform.tables import write_rows

SETTINGS = {
    "sft": {"max_steps": 6, "save_steps": 2, "global_batch": 2, "learning_rate": 1e-3},
    "grpo": {"max_steps": 6, "save_steps": 2, "prompts_per_step": 2, "num_generations": 2, "max_completion_length": 8},
}


def row(number: int) -> dict[str, Any]:
    return {
        "prompt": json.dumps([{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron"}]),
        "opening": "",
        "completion": f"Reason {number}.\nThe answer is B.",
        "options": '{"A": "Zinc", "B": "Iron"}',
        "answer_idx": "B",
    }


def start(stage: str, folder: Path, model: Path, out: str, fault: str = "") -> subprocess.Popen[bytes]:
    """The stage's own command in a process of its own."""
    words = [f"from pipelines.cli.training import {stage}_command; {stage}_command()", "--mix", folder / "mix.parquet"]
    words += ["--model", model, "--checkpoints", folder / "c", "--out", folder / out, "--json", folder / f"{out}.json"]
    words += [w for k, v in SETTINGS[stage].items() for w in ("--set", f"{k}={v}")] + ["--set", "device=cpu"]
    return subprocess.Popen([sys.executable, "-c", *map(str, words)], env={**os.environ, "BIOMED_R1_FAULT": fault})


def finish(process: subprocess.Popen[bytes], folder: Path, out: str) -> dict[str, Any]:
    assert process.wait(timeout=300) == 0
    return json.loads((folder / f"{out}.json").read_text())  # type: ignore[no-any-return]


def kill_when(process: subprocess.Popen[bytes], folder: Path, name: str) -> None:
    """Kill the process as soon as the store has this file of a checkpoint."""
    deadline = time.monotonic() + 200
    while not list(folder.glob(f"c/*/{name}")):
        assert process.poll() is None, f"ended before {name} appeared"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_killed_while_uploading_and_after(stage: str, tiny_model: Path, tmp_path: Path) -> None:
    write_rows([row(number) for number in range(5)], tmp_path / "mix.parquet")
    # The manifest of the first checkpoint never gets written.
    first = start(stage, tmp_path, tiny_model, "out", "manifest:sleep=300")
    kill_when(first, tmp_path, "checkpoint-2-1/config.json")
    assert not list(tmp_path.glob("c/*/checkpoint-2-1/manifest.json"))
    # Nor that of the second; the first is complete by then.
    slow = start(stage, tmp_path, tiny_model, "out", "manifest:sleep=1")
    kill_when(slow, tmp_path, "checkpoint-2-2/manifest.json")
    assert not (tmp_path / "out/config.json").exists()  # no model

    resumed = finish(start(stage, tmp_path, tiny_model, "out"), tmp_path, "out")
    assert resumed["resumed_from_step"] == 2 and resumed["steps"] == 6
    (tmp_path / "c").rename(tmp_path / "first")
    whole = finish(start(stage, tmp_path, tiny_model, "whole"), tmp_path, "whole")
    assert whole["resumed_from_step"] == 0
    assert whole["weights_sha256"] == resumed["weights_sha256"]
    # No work folder is left.
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith((".training", ".saving"))]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
