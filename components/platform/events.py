"""What a local run's tasks tell whoever shows its progress: a file of events, a JSON object a line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Set by `biomed-r1 run` for its tasks: where the run's events and logs are. Not set in a cluster.
RUN_FOLDER_VARIABLE = "BIOMED_R1_RUN_DIR"
FILE = "events.jsonl"


def event(task: str, state: str, **details: Any) -> None:
    """Append one event of the run (a line of JSON, written at once); does nothing outside a local run."""
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return
    text = json.dumps({"time": time.time(), "task": task, "state": state, **details}) + "\n"
    with (Path(folder) / FILE).open("a", encoding="utf-8") as file:
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


def read(run_folder: Path) -> list[dict[str, Any]]:
    """The events of a local run so far, oldest first; none where it has none yet."""
    path = run_folder / FILE
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def unfinished(run_folder: Path) -> list[str]:
    """Tasks of a local run that started and did not finish, in the order in which they started."""
    events = read(run_folder)
    ended = {event["task"] for event in events if event["state"] == "finished"}
    return [event["task"] for event in events if event["state"] == "started" and event["task"] not in ended]


def has_failed(run_folder: Path, task: str) -> bool:
    """Whether the task said that it failed; one that was killed says nothing."""
    return any(event["task"] == task and event["state"] == "failed" for event in read(run_folder))
