"""What tests and the bench of trainings in several processes share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from components.platform.tables import write_rows
from components.stages.grpo import GrpoConfig

# Each completion has a seed of its own, so that the number of processes changes none.
GRPO = GrpoConfig(
    max_steps=3,
    prompts_per_step=2,
    num_generations=2,
    max_completion_length=8,
    learning_rate=1e-4,  # Adam makes of a gradient that is rounding error a step that is not
    optim="adamw_torch",
    generator="shared_prompt",
    device="cpu",
)


def write_mix(path: Path, rows: int) -> Path:
    """Traces of growing length for SFT; returns `path`."""
    message = [{"role": "user", "content": "Which metal?\nA. Zinc\nB. Iron"}]
    asked = {"prompt": json.dumps(message), "opening": ""}
    write_rows([{**asked, "completion": f"{'Reason. ' * (k + 1)}The answer is B."} for k in range(rows)], path)
    return path


def write_questions(path: Path, rows: int) -> Path:
    """Questions for GRPO; returns `path`."""
    message = '[{"role": "user", "content": "Question %d: which metal?\\nA. Zinc\\nB. Iron"}]'
    options = {"opening": "", "options": '{"A": "Zinc", "B": "Iron"}', "answer_idx": "B"}
    write_rows([{"prompt": message % number, **options} for number in range(rows)], path)
    return path


def workers() -> list[psutil.Process]:
    """The processes that torchrun started for an SFT of this process, by rank."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RANK" in process.environ() and "components.stages.sft" in process.cmdline():
                found.append((int(process.environ()["RANK"]), process))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


def published(checkpoints: Path) -> list[int]:
    """The steps that count, of every training below `checkpoints`."""
    leases = [json.loads(path.read_text()) for path in checkpoints.glob("*/lease.json")]
    return [entry["step"] for lease in leases for entry in lease["published"]]


def meanwhile(ready: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Do `act` once, in a thread, as soon as `ready` holds."""

    def run() -> None:
        deadline = time.monotonic() + 300
        while not ready() and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
