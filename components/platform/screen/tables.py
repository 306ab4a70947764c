"""Tables and sentences on standard output, without a cut name or figure at any width.

A terminal that is wide enough gets a box; a narrower one gets each row as a line of its names and a line a figure. A
pipe or a file gets a line a row, its cells between tabs, so that `cut -f` works.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from rich.console import Console

# Columns from which a terminal shows what `Column.extra` marks.
ROOMY = 100
# What stands between the names of a row where a table does not fit.
BETWEEN = " · "
# What a column of sentences needs to be readable.
WORDS_WIDTH = 24


@dataclass(frozen=True)
class Column:
    """One column. `words`: sentences, which may go on in the next line; `figure`: set to the right; `extra`: shown
    only where there is room for it, or no terminal."""

    name: str
    words: bool = False
    figure: bool = False
    extra: bool = False


def columns(*names: str, words: Sequence[str] = (), figures: Sequence[str] = ()) -> list[Column]:
    """Columns by their names."""
    return [Column(name, name in words, name in figures) for name in names]


class Screen:
    """Standard output as it is at the moment, or a console that a caller brings, which then counts as a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self.plain = console is None and not sys.stdout.isatty()
        self._console = console or Console()

    @property
    def width(self) -> int:
        """Columns of the terminal; without one, no limit."""
        return sys.maxsize if self.plain else self._console.width

    @property
    def roomy(self) -> bool:
        return self.width >= ROOMY

    def say(self, text: str) -> None:
        """A sentence, broken between words; a longer word (a path, an address) stays whole."""
        self._write(_wrapped(text, self.width) if not self.plain else [text])

    def pairs(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values, a line each."""
        found = [(name, _flat(value)) for name, value in rows]
        if self.plain:
            self._write(["\t".join(row).rstrip() for row in found])
        elif found:
            self._write(_stack(found, self.width))

    def table(self, title: str, head: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """A table with its title; columns without any name have no head line. Nothing for no rows."""
        shown = [place for place, column in enumerate(head) if self.roomy or not column.extra]
        cells = [[_flat(row[place]) for place in shown] for row in rows]
        kept = [head[place] for place in shown]
        if not cells:
            return
        named = any(column.name for column in kept)
        if self.plain:
            names = [[column.name for column in kept]] if named else []
            self._write([f"# {title}"] if title else [])
            self._write(["\t".join(row).rstrip() for row in (*names, *cells)])
        elif (widths := _widths(kept, cells, self.width)) is not None:
            self._box(title, kept, cells, widths)
        elif named:
            self._narrow(title, kept, cells)
        else:
            for first, *rest in cells:
                beside = "  ".join(cell for cell in rest if cell)
                whole = f"{first}  {beside}" if beside else first
                below = ["  " + line for line in _wrapped(beside, self.width - 2)]
                self._write([whole] if cell_len(whole) <= self.width else [first, *below])

    def _narrow(self, title: str, head: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
        """A row as a line of its names, then a line a figure or text; under the title what the names are."""
        names = [place for place, column in enumerate(head) if not (column.figure or column.words)]
        names = names or [0]
        rest = [place for place in range(len(head)) if place not in names]
        self._write(_wrapped(title, self.width) if title else [])
        self._write([*_wrapped(BETWEEN.join(head[place].name for place in names), self.width), ""])
        for row in cells:
            self._write(_wrapped(BETWEEN.join(row[place] for place in names), self.width))
            self._write(["  " + line for line in _stack([(head[p].name, row[p]) for p in rest], self.width - 2)])
        self._write([""])

    def _box(self, title: str, head: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
        from rich.box import HEAVY_HEAD
        from rich.table import Table
        from rich.text import Text

        named = any(column.name for column in head)
        frame = {"box": HEAVY_HEAD} if named else {"box": None, "show_header": False, "pad_edge": False}
        table = Table(title=Text(title) if title else None, title_justify="left", **frame)  # type: ignore[arg-type]
        for column, width in zip(head, widths, strict=True):
            table.add_column(Text(column.name), width=width, justify="right" if column.figure else "left")
        for row in cells:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _write(self, lines: Iterable[str]) -> None:
        for line in lines:
            if self.plain:
                sys.stdout.write(f"{line}\n")
            else:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _widths(head: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column in a box of `width`; None where names and figures do not fit in whole."""
    longest = [max(cell_len(row[place]) for row in cells) for place in range(len(head))]
    frame = 3 * len(head) + 1 if any(column.name for column in head) else 2 * (len(head) - 1)
    fixed, words = 0, 0
    needed = []
    for place, (column, cell) in enumerate(zip(head, longest, strict=True)):
        whole = max(cell, cell_len(column.name))
        least = max([cell, *map(cell_len, column.name.split())])
        if column.words:
            texts = [column.name, *(row[place] for row in cells)]
            least = min(whole, max(WORDS_WIDTH, *(cell_len(word) for text in texts for word in text.split())))
            words += 1
        needed.append([least, whole])
        fixed += least
    spare = width - frame - fixed
    if spare < 0:
        return None
    for column, pair in sorted(zip(head, needed, strict=True), key=lambda found: found[0].words):
        share = spare // words if column.words else spare
        words -= column.words
        more = min(pair[1] - pair[0], share)
        pair[0] += more
        spare -= more
    return [least for least, _ in needed]


def _stack(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Lines of `name  value`, values in one column; a value that does not fit beside the names goes below its own."""
    margin = max(cell_len(name) for name, _ in rows)
    out: list[str] = []
    for name, value in rows:
        lead = name + " " * (margin - cell_len(name) + 2)
        room = width - margin - 2
        lines = _wrapped(value, room) or [""]
        whole = len(lines) == 1 or cell_len(value) > width - 2  # what fits below in one line is not broken
        if whole and max(map(cell_len, lines)) <= room:
            out += [(lead + lines[0]).rstrip(), *(" " * (margin + 2) + line for line in lines[1:])]
        else:
            below = _wrapped(value, width - 2)
            out += [name, *("  " + line if cell_len(line) + 2 <= width else line for line in below)]
    return out


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words only, each of its own lines apart."""
    wrap = textwrap.TextWrapper(max(width, 10), break_long_words=False, break_on_hyphens=False)
    return [line for part in text.splitlines() for line in wrap.wrap(part) or [""]]


def _flat(cell: str) -> str:
    """A cell without what would end its line or begin another cell."""
    return " ".join(cell.split()) if any(sign in cell for sign in "\t\n\r") else cell
