"""`biomed-r1 ...` in this process, through click's isolated streams: a process of its own takes seconds to start."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pipelines.cli import main as program


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit code, what it wrote to both streams, and what nobody caught, if anything."""

    code: int
    output: str
    error: BaseException | None


def ended(line: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Ended:
    """Run a command line in `folder` with these variables, as its program does; puts everything back afterwards."""
    error: BaseException | None = None
    code: Any = 0
    with _as_it_was(folder, variables), CliRunner().isolation() as (out, err, *_):
        sys.argv = ["biomed-r1", *line]
        try:
            program.main()
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException as unexpected:  # what a user would see as a traceback
            error, code = unexpected, 1
        sys.stdout.flush()
        sys.stderr.flush()
        said = out.getvalue() + (err.getvalue() if err else b"")
    return Ended(code if isinstance(code, int) else 1, said.decode(errors="replace"), error)


@contextlib.contextmanager
def _as_it_was(folder: Path, given: Mapping[str, str]) -> Iterator[None]:
    variables, arguments, place = dict(os.environ), sys.argv, Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    os.environ.update(given)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(place)
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(variables)
        for number, handler in handlers.items():
            signal.signal(number, handler)
