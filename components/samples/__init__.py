"""The question set that ships with the package: `benchmarks/*.jsonl` and `train/*.jsonl`, described in README.md."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Literal


def path(kind: Literal["benchmarks", "train"]) -> Path:
    """The folder of JSONL files of one kind, wherever the package is installed."""
    return Path(str(files(__name__))) / kind
