"""What several test modules share and that is no fixture."""

from __future__ import annotations

import sys


def smoke_command(*arguments: str) -> list[str]:
    """The command line of a smoke run, as the installed `biomed-r1` would start it."""
    return [sys.executable, "-m", "pipelines.cli", "run", "--recipe", "smoke", *arguments]
