"""A Markdown table with a column for the answer: "| Question | Answer |" over "| 1 | C |"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.extraction import cues, tables
from components.extraction.candidates import candidate
from components.extraction.places import AMBIGUOUS, View
from components.extraction.reading import Candidate
from components.extraction.values import value_at

_HEADER = re.compile(
    rf"(?:^|\n)(?P<before>[ \t]*\|?(?:[^|\n]{{0,80}}\|){{0,8}}?)\s?(?:(?:{tables.ADJECTIVES}) ){{0,2}}"
    r"(?:answer|choice|ans|selection)(?: (?:choice|option|letter|key))?\s?(?:\|[^\n]*)?\n"
    r"[ \t|:\-]*-{2,}[ \t|:\-]*(?=\n)"
)
_MAX_ROWS = 30


def grids(view: View) -> Iterator[Candidate]:
    """What the cells under the answer's heading name: one option, or AMBIGUOUS where the rows differ."""
    low = view.low
    if "|" not in low or "--" not in low:
        return
    for header in _HEADER.finditer(low):
        column = header["before"].strip().removeprefix("|").count("|")
        said = [found for begin, end in _cells(low, header.end(), column) if (found := _cell(view, begin, end))]
        if said:
            last = said[-1]
            same = len({c.letter for c in said}) == 1
            yield last if same else last._replace(letter=AMBIGUOUS)


def _cell(view: View, begin: int, end: int) -> Candidate | None:
    """The option that a cell names and nothing else."""
    cell = View(view.text[begin:end], view.low[begin:end], view.options)
    value = value_at(cell, 0, sure=True)
    if value is None or cell.low[value.end :].strip(" .)\"'"):
        return None
    found = candidate(cell, "table", cues.DECLARED, 0, value)
    return found._replace(start=begin, end=end)


def _cells(low: str, at: int, column: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of the column's cell in each row below `at`."""
    for _ in range(_MAX_ROWS):
        begin = at + 1
        end = low.find("\n", begin)
        end = len(low) if end < 0 else end
        if begin >= len(low) or "|" not in low[begin:end]:
            return
        bounds = [m.start() for m in re.finditer(r"\|", low[begin:end])]
        if low[begin:end].lstrip().startswith("|"):
            bounds = bounds[1:]
            left = low.index("|", begin) + 1
        else:
            left = begin
        edges = [left, *(begin + b + 1 for b in bounds)]
        if column < len(edges):
            stop = low.find("|", edges[column], end)
            yield edges[column], end if stop < 0 else stop
        at = end
