"""What `biomed-r1 run` shows meanwhile: a line per stage with its seconds, and what the current one does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from components.platform import logs

TAIL_BYTES = 2000


class Progress:
    """Reads a run's events and prints a line for each finished task; on a terminal, a live line for the current one."""

    def __init__(self, folder: Path, tasks: Sequence[str]) -> None:
        self._folder = folder
        self._tasks = tasks
        self._read = 0
        self._current: tuple[str, float] | None = None
        self._live = sys.stderr.isatty()
        # Whether a task said that it failed.
        self.failed = False

    def update(self) -> None:
        for event in self._new_events():
            if event["state"] == "started":
                self._current = (event["task"], event["time"])
            elif event["state"] == "failed":
                self.failed = True
            else:
                self._clear()
                how = "reused" if event["reused"] else "done"
                number = self._tasks.index(event["task"]) + 1
                click.echo(
                    f"[{number:2}/{len(self._tasks)}] {event['task']:18} {how:6} {event['seconds']:7.1f} s", err=True
                )
                self._current = None
        if self._current and self._live:
            task, since = self._current
            text = f"      {task:18} {time.time() - since:5.0f} s  {self._doing(task)}"
            click.echo(f"\r\x1b[2K{text[:110]}", nl=False, err=True)

    def close(self) -> None:
        self._clear()

    def _new_events(self) -> list[dict[str, Any]]:
        path = self._folder / "events.jsonl"
        if not path.is_file():
            return []
        with path.open(encoding="utf-8") as file:
            file.seek(self._read)
            text = file.read()
        complete = text[: text.rfind("\n") + 1]
        self._read += len(complete.encode())
        return [json.loads(line) for line in complete.splitlines()]

    def _doing(self, task: str) -> str:
        """The newest progress line of the task's log."""
        path = logs.log_path(self._folder, task)
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return next((x.removeprefix("progress: ") for x in reversed(lines) if x.startswith("progress: ")), "")

    def _clear(self) -> None:
        if self._live:
            click.echo("\r\x1b[2K", nl=False, err=True)
