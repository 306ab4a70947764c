"""Where this machine's own files go: caches, embedded servers' data, runs and logs."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`BIOMED_R1_HOME`, else `.biomed-r1` in the working directory."""
    return Path(os.environ.get("BIOMED_R1_HOME", ".biomed-r1")).absolute()
