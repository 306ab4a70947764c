"""docs/faults.md: written from cells, and read again, so that some rows can be tried anew."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rows import ROWS

PAGE = Path(__file__).resolve().parents[2] / "docs/faults.md"
COLUMNS = ("doctor", "run", "sft", "evaluate", "promote")
REFUSED, RECOVERED, FAILED = "refused in words before work", "recovered", "failed in words, nothing lost"
UNTOUCHED = "–"
GOOD = (REFUSED, RECOVERED, FAILED, UNTOUCHED)


@dataclass(frozen=True)
class Cell:
    """What a command did under a fault: one of GOOD or what went wrong, and the last words that it said."""

    row: str
    column: str
    verdict: str
    said: str


def page(cells: Sequence[Cell]) -> str:
    """The table, and what was said."""
    found = {(c.row, c.column): c for c in cells}
    head = [
        "# What happens under a fault", "",
        "Written by `make faults` (tests/faults/matrix.py), which starts every command under every fault, on a real S3",
        "and MLflow behind proxies. What a fault ended is started again without it.", "",
        f"- **{REFUSED}**: exit code 1 or 2, a sentence that says what to do, nothing was begun.",
        f"- **{RECOVERED}**: it ended well all the same; after a signal, the same command started again did.",
        f"- **{FAILED}**: it ended with a sentence, and the same command ends well once the fault is gone.",
        "- –: the command does nothing that the fault is in the way of, or leaves nothing that could be lost.", "",
        "`promote` is judged by what it left: after each cell the version serves by one move of the pointer, the log",
        "is whole and MLflow's alias is the pointer's. In the row \"clock step\" the command's clock goes back four",
        "minutes while it works (`doctor`: before it starts), and with it every process's start time, on servers that",
        "were started before.", "",
        f"| fault | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}",
    ]  # fmt: skip
    table = [f"| {row.name} | {' | '.join(found[row.name, c].verdict for c in COLUMNS)} |" for row in ROWS]
    order = [found[row.name, column] for row in ROWS for column in COLUMNS]
    said = [f"- {c.row}, `{c.column}`: {_code(c.said)}" for c in order if c.said and c.verdict in GOOD]
    return "\n".join([*head, *table, "", "## What was said", "", *said, ""])


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def cells_of(text: str) -> list[Cell]:
    """The cells of a page that `page` wrote."""
    said = {(row, column): line for row, column, line in re.findall(r"^- (.*), `(\w+)`: `(.*)`$", text, re.M)}
    rows = (
        [part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    )
    return [
        Cell(row, column, verdict, said.get((row, column), ""))
        for row, *verdicts in rows
        if row != "fault"
        for column, verdict in zip(COLUMNS, verdicts, strict=True)
    ]


def last(said: str) -> str:
    """The sentence that a command ended with."""
    lines = [line for line in said.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith(("biomed-r1:", "FAIL"))]
    return plain((ours or lines or [""])[0 if ours and ours[0].startswith("FAIL") else -1])


def warning(said: str) -> str:
    """The first warning, "" without one."""
    found = [line for line in said.splitlines() if line.startswith(("WARN", "warning:"))]
    return plain(found[0]) if found else ""


def plain(line: str) -> str:
    """A line without what differs from one machine and one try to the next."""
    line = re.sub(r"^(WARN|FAIL)\t([^\t]*)\t", r"\1  \2: ", line)
    line = re.sub(r"(/tmp|/work|/home|/root)[\w./-]*", "…", line)
    line = re.sub(r"(localhost|127\.0\.0\.1):\d+", "HOST", line)
    line = re.sub(r"\b[0-9a-f]{16,}\b|\bc[0-9a-f]{6}\b", "…", line).removeprefix("biomed-r1: ")
    return line if len(line) <= 260 else f"{line[:260]}…"
