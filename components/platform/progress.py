"""Progress of long loops: a bar on a terminal, a logged line now and then elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import TextColumn

T = TypeVar("T")
LOG = logging.getLogger(__name__)
PLAIN_LINE_SECONDS = 15.0
# A narrower terminal gets a shorter bar.
ROOMY_COLUMNS = 80
# By which `biomed-r1 run` finds such a line in a task's log.
PREFIX = "progress: "


def progress(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate, showing `label done/total` on stderr; `total` defaults to the iterable's length.

    Inside a pipeline run the lines go to the stage's log, and `biomed-r1 run` shows the newest one.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        yield from _bar(iterable, label, total)
        return
    started = shown = time.monotonic()
    for done, value in enumerate(iterable, start=1):
        yield value
        now = time.monotonic()
        if now - shown >= PLAIN_LINE_SECONDS:
            shown = now
            line(label, done, total, now - started)


def line(label: str, done: int, total: int | None, seconds: float) -> None:
    """Log one line of progress: `label`, how many of `total` are done, after how many seconds."""
    LOG.info("%s%s %s%s (%.0f s)", PREFIX, label, done, f"/{total}" if total else "", seconds)


def one_line(text: str) -> TextColumn:
    """A column of a bar that is cut where the terminal ends: one that wraps makes a new line at each refresh."""
    from rich.progress import TextColumn
    from rich.table import Column

    return TextColumn(text, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))


def _bar(iterable: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [one_line("{task.description}"), BarColumn(), MofNCompleteColumn()]
    if console.width >= ROOMY_COLUMNS:
        columns += [TimeElapsedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as bars:
        yield from bars.track(iterable, total=total, description=label)
