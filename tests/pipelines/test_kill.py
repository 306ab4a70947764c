"""SIGKILL to the whole process group at a random moment; the same command, run again, completes and resumes."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support import smoke_command

from components.platform.storage import store

pytestmark = pytest.mark.slow

# How each seed's run is killed. "random": at a moment drawn by the seed. "half": in the middle of that checkpoint's
# upload. "after": as soon as that stage has a complete checkpoint, so that a restart at step 0 would show.
PLANS: dict[int, tuple[str, str]] = {
    0: ("random", ""),
    1: ("random", ""),
    2: ("half", r"sft/.*/checkpoint-1-\d+"),
    3: ("half", r"sft/.*/checkpoint-2-\d+"),
    4: ("half", r"grpo/.*/checkpoint-1-\d+"),
    5: ("after", r"sft/.*/checkpoint-1-\d+"),
    6: ("after", r"grpo/.*/checkpoint-1-\d+"),
    7: ("random", ""),
    8: ("random", ""),
    9: ("random", ""),
}
# These start from an empty store, so that every stage can be hit; the others find ingest to curate in it, because
# those four are the same each time, and train with a seed of their own.
FROM_NOTHING = (0, 1)
LONGEST_SECONDS = 600


@pytest.fixture
def start(
    environment: dict[str, str], tiny_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., subprocess.Popen[bytes]]:
    seed = request.node.callspec.params["seed"]
    shared = environment["BIOMED_R1_STORE"]
    root = f"{shared}-kill-{uuid.uuid4().hex[:6]}" if seed in FROM_NOTHING else shared

    def run(**variables: str) -> subprocess.Popen[bytes]:
        arguments = [
            "--set",
            f"base_model={tiny_model}",
            "--set",
            f"sft.seed={100 + seed}",
            "--json",
            str(tmp_path / "out.json"),
        ]
        for model in ("base", "grpo"):
            arguments += ["--set", f"asked.{model}=[plain, adversarial_0]"]
        log = (tmp_path / "run.log").open("ab")
        return subprocess.Popen(
            smoke_command(*arguments),
            env={**environment, "BIOMED_R1_STORE": root, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    run.root = root  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize("seed", PLANS)
def test_killed_and_started_again(seed: int, start: Any, finished: Any, tmp_path: Path) -> None:
    before = set(store.list_files(f"{start.root}/checkpoints"))
    how, which = PLANS[seed]
    process = start(BIOMED_R1_FAULT="upload:sleep=0.4") if how == "half" else start()
    if how == "random":
        moment = wait(process, random.Random(seed).uniform(5, 60 if seed in FROM_NOTHING else 40))
    else:
        moment = wait_for(process, f"{start.root}/checkpoints", before, which, complete=how == "after")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until_gone(process.pid)
    kept = complete_checkpoints(start.root, before)
    if how == "after":
        assert which.split("/")[0] in kept
    again = start()
    assert again.wait(LONGEST_SECONDS) == 0, (tmp_path / "run.log").read_text()
    summary = json.loads((tmp_path / "out.json").read_text())
    stages = {s["name"]: s for s in summary["stages"]}
    for stage, step in kept.items():
        evidence = stages[stage]["evidence"]
        print(f"seed {seed}: killed {moment}; {stage} had step {step}, resumed from {evidence['resumed_from_step']}")
        if not stages[stage]["reused"]:
            assert evidence["resumed_from_step"] >= step > 0, stage
    assert stages["sft"]["evidence"]["steps"] == 3 and stages["grpo"]["evidence"]["steps"] == 2


def wait(process: subprocess.Popen[bytes], seconds: float) -> str:
    time.sleep(seconds)
    assert process.poll() is None, "the run ended before the kill"
    return f"after {seconds:.0f} s"


def wait_for(process: subprocess.Popen[bytes], root: str, before: set[str], which: str, complete: bool) -> str:
    """Wait until the checkpoint folder `which` (a pattern) has files and no manifest, or has one if `complete`."""
    while process.poll() is None:
        new = set(store.list_files(root)) - before
        folders = {folder for path in new if re.fullmatch(which, folder := path.rsplit("/", 1)[0])}
        found = [f for f in folders if (f"{f}/manifest.json" in new) == complete]
        if found:
            return f"{'with' if complete else 'half-way through'} {found[0]}"
        time.sleep(0.05)
    raise AssertionError(f"the run ended before {which} could be seen")


def complete_checkpoints(root: str, before: set[str]) -> dict[str, int]:
    """stage -> the step of its newest complete checkpoint that this test's run left."""
    kept: dict[str, int] = {}
    for path in set(store.list_files(f"{root}/checkpoints")) - before:
        if found := re.fullmatch(r"(\w+)/.*/checkpoint-(\d+)-[\d-]+/manifest\.json", path):
            kept[found[1]] = max(kept.get(found[1], 0), int(found[2]))
    return kept


def wait_until_gone(group: int) -> None:
    def members() -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    deadline = time.monotonic() + 20
    while members() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not members()
