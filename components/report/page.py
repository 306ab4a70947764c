"""The parts of a page as data, and the page itself: one self-contained HTML file, and the same in Markdown.

The only user of jinja2. Everything a template prints is escaped: question and answer text is hostile text. The page
loads nothing: no script, font or picture, and its own content policy forbids it to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Cell:
    """One cell: its text, smaller lines under it, and a kind (`good`, `bad`, `muted`, `words`) for its looks."""

    text: str
    sub: str = ""
    kind: str = ""
    more: str = ""  # a line of its own at any width


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first cell of a row names it. Rows in `group_starts` get a heavier line.

    `compact` puts a cell's second line beside the first where the page is wide; `folded` shows the caption alone until
    a reader opens it.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    group_starts: frozenset[int] = frozenset()
    compact: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A drawing that carries its own alternative text, and the caption under it."""

    drawing: Markup
    caption: str


@dataclass(frozen=True)
class Example:
    """One question with what two models wrote, for a human to judge; all of it is untrusted text."""

    title: str
    question: str
    options: tuple[tuple[str, str, bool], ...]  # letter, text, is the right one
    outputs: tuple[tuple[str, str], ...]  # who and in which setting, what was written; a prefill before it


@dataclass(frozen=True)
class Section:
    """A part of the page. `absent` says why there is nothing to show; the page then only lists it as left out."""

    anchor: str
    title: str
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    examples: Sequence[Example] = ()
    absent: str = ""


@dataclass(frozen=True)
class Headline:
    verdict: str | None  # "promote", "refuse", or None where no gate ran
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """A name with its value, and the address that the value leads to, if any."""

    name: str
    text: str
    address: str = ""


@dataclass(frozen=True)
class Page:
    title: str
    headline: Headline
    sections: Sequence[Section]
    citation: str
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple)  # short name and value, under the headline
    origin: Sequence[Fact] = ()  # what the page was made by, under those

    @property
    def shown(self) -> list[Section]:
        return [section for section in self.sections if not section.absent]

    @property
    def left_out(self) -> list[Section]:
        return [section for section in self.sections if section.absent]


def render_html(page: Page) -> str:
    """The page as one HTML file that loads nothing; only what it was made by has links that lead out of it."""
    return _render("report.html.j2", page)


def render_markdown(page: Page) -> str:
    """The same words and tables (no figures, no question text) for a Markdown viewer such as the KFP UI."""
    return re.sub(r"\n{3,}", "\n\n", _render("report.md.j2", page)).strip() + "\n"


def _render(template: str, page: Page) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(plain=_plain, row=_row)
    return environment.get_template(template).render(page=page)


def _plain(text: Any) -> Markup:
    """Text for Markdown: HTML escaped, and the signs that would start a table cell, a link or emphasis as well."""
    flat = " ".join(str(text).split())
    escaped = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html.escape(flat, quote=False))
    return Markup(escaped)


def _row(cells: Sequence[Cell]) -> Markup:
    return Markup("| " + " | ".join(map(_cell, cells)) + " |")


def _cell(cell: Cell) -> str:
    small = "; ".join(text for text in (cell.sub, cell.more) if text)
    return f"{_plain(cell.text)} ({_plain(small)})" if small else str(_plain(cell.text))
