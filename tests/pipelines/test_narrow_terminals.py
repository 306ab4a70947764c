"""A run's progress takes one line of a terminal, however narrow that is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from screen import Screen, shown

SHOW = """
import json, pathlib, sys, time
from components.platform import events, logs
from pipelines.local.progress import Progress
logs.configure()
folder = pathlib.Path(sys.argv[1])
def event(**values):
    with (folder / events.FILE).open("a") as file:
        file.write(json.dumps({"time": time.time() - 100, "task": "evaluate-champion", **values}) + "\\n")
event(state="started")
path = logs.log_path(folder, "evaluate-champion")
path.parent.mkdir(parents=True, exist_ok=True)
progress = Progress(folder, ["evaluate-champion"] * 10)
for step in range(12):
    text = f"adversarial_0 of the champion 医学試験医学試験医学試験医学試験医学試験 {step}/345 (123 s)"
    path.write_text(f"progress: {text}\\n")
    if step in (4, 8):
        event(state="done", reused=False, seconds=1.5)
        event(state="started")
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
# What two finished tasks leave for good.
LINES = ["[ 1/10] evaluate-champion done       1.5 s", "[ 2/10] evaluate-champion done       1.5 s"]


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
@pytest.mark.parametrize(("script", "kept"), [(SHOW, LINES), (BAR, [])], ids=["run", "loop"])
def test_no_new_line_for_each_refresh(tmp_path: Path, script: str, kept: list[str], columns: int) -> None:
    code, screen, text = shown([sys.executable, "-c", script, str(tmp_path)], columns, os.environ)
    assert code == 0, text
    assert text.count("\x1b[2K") >= 5, text
    expected = Screen(columns).feed("".join(f"{line}\r\n" for line in kept))
    assert " ".join(screen.lines).split() == " ".join(kept).split(), text
    assert len(screen.rows) <= len(expected.rows) + 2, text  # rich breaks a line between words


def test_the_screen_goes_on_in_the_next_row() -> None:
    """As the bar of before, which wrote up to 110 characters after `\\r` and an erased line."""
    screen = Screen(40)
    for second in range(5):
        screen.feed(f"\r\x1b[2K{second:3} s evaluate-champion adversarial_0 of the champion")
    assert len(screen.rows) == 6 and len(screen.lines) == 6
    assert Screen(4).feed("ab\x1b[1Acd\r\nx\x1b[2K").lines == ["abcd"]
