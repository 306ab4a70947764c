"""Accuracy by the values of the columns that a recipe names, and which values differ from the other questions."""

from __future__ import annotations

from components.report.charts import MODELS, Dot, Group, axis, dots, percent_tick
from components.report.claims import ALPHA
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record, Scores, lead_words, short_setting
from components.report.tables import accuracy_cell, questions_cell
from components.report.wording import is_number, join, percent, points, signed, spread

TITLE = "By column of the questions"
DRAWN = 12  # values in a figure, those with most questions
NAMED = 3  # values in a sentence, on either side


def section(scores: Scores) -> Section | None:
    """A figure and a table of each column, with what differs beyond error; None where no column was named."""
    if not scores.slices:
        return None
    columns = list(dict.fromkeys(record["column"] for record in scores.slices))
    figures = [figure for column in columns if (figure := slices_figure(scores, column))]
    return Section("slices", TITLE, slice_sentences(scores), figures, [slices_table(scores, c) for c in columns])


def slice_sentences(scores: Scores) -> list[str]:
    """By column and model: the values where fewer or more answers are right than elsewhere, by Holm's adjusted p."""
    out = []
    for column in dict.fromkeys(record["column"] for record in scores.slices):
        for model in scores.models:
            records = _lead(scores, column, model)
            tested = [r for r in records if is_number(r.get("rest_p_holm"))]
            if tested:
                out.append(_differing(model, column, tested, pair=len(records) == 2))
    if out:
        out.append("Values differ in how hard their questions are and in how many options they have, too.")
    return out


def _differing(model: str, column: str, tested: list[Record], pair: bool) -> str:
    """`pair`: the column has two values, whose two differences are one."""
    over = "one difference" if pair else f"Holm's adjustment over {len(tested)} values"
    held = sorted((r for r in tested if r["rest_p_holm"] <= ALPHA), key=lambda r: r["rest"])
    low, high = [r for r in held if r["rest"] < 0], [r for r in held[::-1] if r["rest"] > 0]
    if not held:
        return f"{model}: no value of {column} differs from the others beyond error ({over})."
    if pair:
        low = []
    parts = [f"fewer answers are right on {_named(low)}"] if low else []
    parts += [f"{'more' if low else 'more answers are right'} on {_named(high)}"] if high else []
    return f"{model}, {column}: {' and '.join(parts)} than on the other questions ({over})."


def _named(own: list[Record]) -> str:
    shown = [_value(record) for record in own[:NAMED]]
    return join(shown) if len(own) <= NAMED else f"{', '.join(shown)} and {len(own) - NAMED} more"


def _value(record: Record) -> str:
    shown = f", {spread(record['rest_low'], record['rest_high'], True)}" if is_number(record["rest_low"]) else ""
    return f"{record['value']} ({points(record['rest'])}{shown})"


def slices_figure(scores: Scores, column: str) -> Figure | None:
    """Accuracy at each value of a column, for the first models, with the level of guessing."""
    kinds = dict(zip(scores.models, MODELS, strict=False))
    values: dict[str, list[Record]] = {}
    for model in kinds:
        for record in _lead(scores, column, model):
            if is_number(record["accuracy"]):
                values.setdefault(record["value"], []).append(record)
    chosen = sorted(values, key=lambda v: (-max(r["n"] for r in values[v]), v))[:DRAWN]
    groups, said = [], []
    for value in sorted(chosen):
        own = values[value]
        rows = tuple(Dot(kinds[r["model"]], r["accuracy"], r["ci_low"], r["ci_high"]) for r in own)
        groups.append(Group(value, " · ".join(percent(r["accuracy"]) for r in own), rows, own[0].get("baseline")))
        said.append(f"{value}: " + ", ".join(f"{r['model']} {percent(r['accuracy'])}" for r in own))
    if not groups:
        return None
    ends = [end for group in groups for dot in group.dots for end in (dot.value, dot.high or 0.0)]
    label = f"Accuracy by {column}, {lead_words(scores)}. " + "; ".join(said) + "."
    legend = [*((kind, model) for model, kind in kinds.items()), ("mark", "guessing")]
    caption = f"Accuracy by {column}, {lead_words(scores)}. Bars are 95 % intervals by question group."
    if len(chosen) < len(values):
        caption += f" The {DRAWN} values with most questions; the table has all {len(values)}."
    return Figure(dots(label, groups, axis(ends, percent_tick, 0.0), legend), caption)


def slices_table(scores: Scores, column: str) -> Table:
    """A row a value, a column a model and setting; under each accuracy how it differs from the other questions."""
    records = [r for r in scores.slices if r["column"] == column]
    shown = [(m, s) for m in scores.models for s in scores.shown([m])]
    if len(scores.models) > 1:
        shown = [(m, s) for m, s in shown if s == scores.lead]
    found = {(r["value"], r["model"], r["setting"]): r for r in records}
    rows = []
    for value in dict.fromkeys(r["value"] for r in records):
        cells = [found.get((value, model, setting)) for model, setting in shown]
        first = next(cell for cell in cells if cell)
        rows.append((Cell(value), *map(_accuracy, cells), questions_cell(first), Cell(percent(first.get("baseline")))))
    names = (f"{m}, {short_setting(s)}" if len(scores.models) > 1 else short_setting(s).capitalize() for m, s in shown)
    note = (
        "The second figure is the difference from the other questions, in points, with its 95 % interval, not adjusted."
    )
    head = (column, *names, "Questions", "Guessing")
    return Table(f"Accuracy by {column}", head, tuple(rows), note, folded=len(rows) > DRAWN)


def _accuracy(record: Record | None) -> Cell:
    cell = accuracy_cell(record)
    if record is None or not is_number(record.get("rest")):
        return cell
    low, high = record["rest_low"], record["rest_high"]
    shown = f" ({spread(low, high, True)})" if is_number(low) else ""
    return Cell(cell.text, cell.sub, cell.kind, more=f"{signed(record['rest'])}{shown}")


def _lead(scores: Scores, column: str, model: str) -> list[Record]:
    key = (column, model, scores.lead)
    return [r for r in scores.slices if (r["column"], r["model"], r["setting"]) == key]
