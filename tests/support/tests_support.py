"""What several test modules share and that is no fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def smoke_command(*arguments: str) -> list[str]:
    """The command line of a smoke run, as the installed `biomed-r1` would start it."""
    return [sys.executable, "-m", "pipelines.cli", "run", "--recipe", "smoke", *arguments]


def docker_image(tree: Path = ROOT, tag: str = "tests", **variables: str) -> str:
    """Build the CPU image from a source tree and return its name; skips the test where Docker does not answer."""
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True).returncode:
        pytest.skip("Docker does not answer")
    environment = {**os.environ, **variables, "TAG": tag}
    done = subprocess.run([tree / "images/build", "cpu"], env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return f"biomed-r1-python-cpu:{tag}"
