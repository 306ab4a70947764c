"""Cells and small tables that several sections share: accuracies, intervals, counts, names and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.report.page import Cell, Table
from components.report.scores import Record, Scores
from components.report.wording import has_interval, is_number, percent, signed, spread


def pairs_table(caption: str, pairs: Mapping[str, Any]) -> Table:
    """A two-column table of names and values."""
    rows = tuple((Cell(name), Cell(words(value), kind="words")) for name, value in pairs.items())
    return Table(caption, ("What", "Value"), rows)


def words(value: Any) -> str:
    """Any value of a record as text for a cell; of a list, the first eight."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(words(v) for v in value[:8]) + (f" and {len(value) - 8} more" if len(value) > 8 else "")
    return "none" if value is None else str(value)


def accuracy_cell(cell: Record | None, n: int | None = None, answered: bool = False) -> Cell:
    """Accuracy with its interval; `answered` adds the accuracy among answers that name an option, where it differs."""
    if cell is None or not is_number(cell.get("accuracy")):
        return Cell("–", kind="muted")
    text, sub = percent(cell["accuracy"]), interval(cell)
    among = percent(cell.get("accuracy_answered"))
    more = f"{among} of answered" if answered and is_number(cell.get("accuracy_answered")) and among != text else ""
    return Cell(text, sub if n in (None, cell["n"]) else f"{sub}, n {count(cell['n'])}", more=more)


def interval(record: Record, signed: bool = False) -> str:
    """The record's interval in percent; "" where it has none."""
    return spread(record["ci_low"], record["ci_high"], signed) if has_interval(record) else ""


def questions_cell(record: Record) -> Cell:
    """How many questions, and how many of them are distinct where copies are among them."""
    copies = record.get("groups") != record.get("n")
    return Cell(count(record.get("n")), f"{count(record.get('groups'))} distinct" if copies else "")


def row_head(scores: Scores) -> str:
    """The head of the column that `row_name` fills."""
    return "Model" if len(scores.models) > 1 else "Setting"


def row_name(scores: Scores, model: str, sub: str) -> Cell:
    """The model and what of it a row shows; in a report on one model its name would only repeat."""
    return Cell(model, sub) if len(scores.models) > 1 else Cell(sub[:1].upper() + sub[1:])


def count(value: Any) -> str:
    """A number with its thousands apart; a dash where it is unknown."""
    return f"{value:,}" if is_number(value) else "–"


def gap_cell(gap: Record | None) -> Cell:
    """A gap with its interval, and what `beside` says of it."""
    if gap is None:
        return Cell("–", kind="muted")
    return Cell(signed(gap["estimate"]), interval(gap, True), more=beside(gap))


def beside(gap: Record) -> str:
    """The attenuation factor of a gap and its p by Holm, where it has them."""
    factor, p = gap.get("attenuation"), gap.get("p_holm")
    texts = [f"× {factor:.2f}"] if is_number(factor) else []
    texts += [f"p {p:.2g}"] if is_number(p) else []
    return ", ".join(texts)
