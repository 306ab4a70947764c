"""What `biomed-r1 run` shows meanwhile: a line per stage with its seconds, and what the current one does."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn
from rich.progress import Progress as Bar

from components.platform import events, logs
from components.platform.progress import PREFIX, ROOMY_COLUMNS, one_line

LOG = logging.getLogger(__name__)
TAIL_BYTES = 2000


class Progress:
    """Reads a run's events and logs a line for each finished task; on a terminal, a bar with the current one below."""

    def __init__(self, folder: Path, tasks: Sequence[str]) -> None:
        self._folder = folder
        self._tasks = tasks
        self._read = 0
        self._current: tuple[str, float] | None = None
        # Whether a task said that it failed.
        self.failed = False
        console = Console(stderr=True)
        bar = BarColumn(20 if console.width >= ROOMY_COLUMNS else 6)
        columns = bar, MofNCompleteColumn(), one_line("{task.description}")
        # Without a terminal it draws nothing.
        live = sys.stderr.isatty()
        self._bar = Bar(*columns, console=console, transient=True, disable=not live)
        self._shown = self._bar.add_task("", total=len(tasks))
        self._bar.start()

    def update(self) -> None:
        for event in self._new_events():
            if event["state"] == "started":
                self._current = (event["task"], event["time"])
            elif event["state"] == "failed":
                self.failed = True
            else:
                how = "reused" if event["reused"] else "done"
                number = self._tasks.index(event["task"]) + 1
                place = f"[{number:2}/{len(self._tasks)}]"
                LOG.info("%s %-18s %-6s %7.1f s", place, event["task"], how, event["seconds"])
                self._bar.advance(self._shown)
                self._current = None
        if self._current and not self._bar.disable:
            task, since = self._current
            self._bar.update(self._shown, description=f"{task} {time.time() - since:.0f} s  {self._doing(task)}")

    def close(self) -> None:
        self._bar.stop()

    def _new_events(self) -> list[dict[str, Any]]:
        path = self._folder / events.FILE
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
        messages = (logs.message_of(line) for line in reversed(lines))
        return next((text.removeprefix(PREFIX) for text in messages if text.startswith(PREFIX)), "")
