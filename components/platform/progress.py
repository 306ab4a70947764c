"""Progress of long loops: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PLAIN_LINE_SECONDS = 15.0


def progress(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate, showing `label done/total` on stderr; `total` defaults to the iterable's length.

    Inside a pipeline run the lines go to the stage's log, and `biomed-r1 run` shows the newest one.
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        from tqdm import tqdm

        yield from tqdm(iterable, desc=label, total=total, leave=False)
        return
    started = shown = time.monotonic()
    for done, value in enumerate(iterable, start=1):
        yield value
        now = time.monotonic()
        if now - shown >= PLAIN_LINE_SECONDS:
            shown = now
            line(label, done, total, now - started)


def line(label: str, done: int, total: int | None, seconds: float) -> None:
    of = f"/{total}" if total else ""
    print(f"progress: {label} {done}{of} ({seconds:.0f} s)", file=sys.stderr, flush=True)
