"""Where a stage's output goes in a local run: a log file per task, and events for whoever shows progress."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUN_FOLDER_VARIABLE = "BIOMED_R1_RUN_DIR"


def log_path(run_folder: Path, task: str) -> Path:
    return run_folder / "logs" / f"{task}.log"


def run_folder() -> Path | None:
    """The folder of the local run that this process belongs to; None outside one."""
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    return Path(folder) if folder else None


def redirect(task: str) -> None:
    """Send this process's stdout and stderr, native libraries' included, to the task's log file.

    Does nothing outside a local run: in a cluster the container's output is the log.
    """
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return
    path = log_path(Path(folder), task)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def unfinished(run_folder: Path) -> list[str]:
    """Tasks of a local run that started and did not finish, in the order in which they started."""
    path = run_folder / "events.jsonl"
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    ended = {event["task"] for event in events if event["state"] == "finished"}
    return [event["task"] for event in events if event["state"] == "started" and event["task"] not in ended]


def event(task: str, state: str, **details: Any) -> None:
    """Append one event of the run (a line of JSON, written at once); does nothing outside a local run."""
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return
    text = json.dumps({"time": time.time(), "task": task, "state": state, **details}) + "\n"
    with (Path(folder) / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def events_of(task: str) -> Iterator[dict[str, Any]]:
    """Events around a task: `started`, then `finished` with the yielded details, or `failed`.

    The last one because a runner can take a failed task for a success.
    """
    event(task, "started")
    details: dict[str, Any] = {}
    try:
        yield details
    except BaseException:
        event(task, "failed")
        raise
    event(task, "finished", **details)
