"""The page of faults is that of the script, every row and column, no cell that lost anything; some cells tried anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/faults"))

from page import COLUMNS, GOOD, PAGE, Cell, cells_of, page  # noqa: E402
from rows import ROWS  # noqa: E402


def test_the_page_has_every_row_and_nothing_was_lost() -> None:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = {row[0]: row[1:] for row in ([c.strip() for c in line.strip("|").split("|")] for line in lines)}
    assert cells.pop("fault") == list(COLUMNS)
    assert list(cells) == [row.name for row in ROWS]
    assert {verdict for verdicts in cells.values() for verdict in verdicts} <= set(GOOD)


def test_a_page_of_cells() -> None:
    cells = [Cell(row.name, column, GOOD[1], "a 'word'") for row in ROWS for column in COLUMNS]
    text = page(cells[::-1])
    assert cells_of(text) == cells and text.count("| recovered") == len(cells)


@pytest.mark.slow
def test_the_doctor_refuses_what_it_refused_when_the_page_was_written() -> None:
    """Only the doctor: the others take minutes (`make faults`)."""
    program = """
import sys
sys.path.insert(0, "tests/faults")
import matrix
sys.exit(matrix.main(["403", "token", "deleted", "read-only", "S3: full"], write=False, columns=["doctor"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = re.findall(r"^(.*?) +doctor +(.*) \(\d+ s\)$", done.stdout, re.M)
    assert len(found) == 10
    assert {verdict for name, verdict in found if "delete" not in name.split(": ")[-1]} == {GOOD[0]}
