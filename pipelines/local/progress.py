"""What `biomed-r1 run` shows meanwhile: a line per task with its seconds, what the current one does, and the rest."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn
from rich.progress import Progress as Bar

from components.platform import events, logs
from components.platform.progress import PREFIX, ROOMY_COLUMNS, one_line
from pipelines.local.estimate import Estimate, in_words

LOG = logging.getLogger(__name__)
TAIL_BYTES = 2000
# Without a terminal a task that takes longer says so this often.
PLAIN_LINE_SECONDS = 30.0
# What tasks were expected to take in all before the rest is scaled by what they took.
ENOUGH_SECONDS = 30.0


class Progress:
    """Reads a run's events and logs a line for each finished task; on a terminal, a bar with the current one below.

    Tasks are counted in the order in which they end: those that need nothing of each other run in KFP's order.
    """

    def __init__(self, folder: Path, tasks: Sequence[str], expected: Estimate | None = None) -> None:
        self._folder = folder
        self._tasks = tasks
        self._left = list(tasks)
        self._expected = expected or Estimate({}, "")
        self._width = max(map(len, tasks), default=0)
        self._told = time.time()
        self._reused = False
        # Seconds of the tasks that did their work here, and what was expected of them.
        self._took = self._believed = 0.0
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
                self._finished(event)
        if not self._current:
            return
        task, since = self._current
        if not self._bar.disable:
            self._bar.update(self._shown, description=self._line(task, since))
        elif time.time() - max(since, self._told) >= PLAIN_LINE_SECONDS:
            self._told = time.time()
            LOG.info("%s", self._line(task, since))

    def _finished(self, event: Mapping[str, Any]) -> None:
        if event["task"] in self._left:
            self._left.remove(event["task"])
        total = len(self._tasks)
        place = f"[{total - len(self._left):{len(str(total))}}/{total}]"
        self._reused = bool(event["reused"])
        if not self._reused and event["task"] in self._expected.seconds:
            self._took += event["seconds"]
            self._believed += self._expected.seconds[event["task"]]
        how = "reused" if self._reused else "done"
        note = "  ".join(text for text in ("", event.get("note"), self._remaining()) if text is not None)
        LOG.info("%s %-*s %-6s %7.1f s%s", place, self._width, event["task"], how, event["seconds"], note)
        self._bar.advance(self._shown)
        self._current = None

    def _line(self, task: str, since: float) -> str:
        seconds = time.time() - since
        left = self._remaining(task, seconds)
        return "  ".join(text for text in (f"{task} {seconds:.0f} s", left, self._doing(task)) if text)

    def _remaining(self, current: str = "", since: float = 0.0) -> str | None:
        """How long the rest takes, in words; None where it is not known or there is none."""
        left = self._expected.left(self._left, current, since)
        if left is not None and self._believed >= ENOUGH_SECONDS:
            left *= self._took / self._believed  # this machine is slower or quicker than the one of the estimate
        about = "up to" if self._reused else "about"  # what follows a result that was stored may be stored too
        return f"{about} {in_words(left)} left" if left and left >= 1 else None

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
