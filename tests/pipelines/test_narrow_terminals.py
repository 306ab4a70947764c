"""A run's progress takes one line of a terminal, however narrow that is."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

SHOW = """
import json, pathlib, sys, time
from components.platform import events, logs
from pipelines.local.progress import Progress
folder = pathlib.Path(sys.argv[1])
event = {"time": time.time() - 100, "task": "evaluate-champion", "state": "started"}
(folder / events.FILE).write_text(json.dumps(event) + "\\n")
path = logs.log_path(folder, "evaluate-champion")
path.parent.mkdir(parents=True, exist_ok=True)
progress = Progress(folder, ["evaluate-champion"] * 10)
for step in range(12):
    text = f"adversarial_0 of the champion 医学試験医学試験医学試験医学試験医学試験 {step}/345 (123 s)"
    path.write_text(f"2026-01-01 10:00:00 info: x: progress: {text}\\n")
    progress._doing = lambda task: text
    progress.update()
    progress._bar.refresh()
progress.close()
"""
BAR = """
import time
from components.platform.progress import progress
for number in progress(range(12), "evaluate-champion 医学試験医学試験医学試験医学試験医学試験 adversarial_0"):
    time.sleep(0.15)
"""


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
@pytest.mark.parametrize("script", [SHOW, BAR], ids=["run", "loop"])
def test_no_new_line_for_each_refresh(tmp_path: Path, script: str, columns: int) -> None:
    terminal, screen = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=screen,
        stderr=screen,
        stdout=subprocess.PIPE,
        env={**environment, "TERM": "xterm"},
        timeout=60,
    )
    os.close(screen)
    text = b""
    while True:
        try:
            text += os.read(terminal, 1 << 16)
        except OSError:
            break
    os.close(terminal)
    assert done.returncode == 0, text.decode()
    assert text.count(b"\x1b[2K") >= 5 and text.count(b"\n") <= 1, text.decode()
