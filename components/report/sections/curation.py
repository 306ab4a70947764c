"""Curation: what was let into the training mix and what was kept out of it, by curation.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from components.report.page import Cell, Section, Table
from components.report.scores import Record
from components.report.tables import words
from components.report.wording import is_number, percent


def section(curation: Record | None, most: int, sealed: Collection[str] = ()) -> Section:
    """What curation removed, at most `most` of the questions by name; left out without a curation.json.

    Benchmark questions with ids in `sealed` are not named: a training question beside one would give its text away.
    """
    title = "What curation removed"
    if curation is None:
        return Section("curation", title, absent="No record of curation was given.")
    found = curation_tables(curation, most, sealed)
    return Section("curation", title, curation_sentences(curation), [], found)


def curation_sentences(curation: Record) -> list[str]:
    """How many training questions were removed, and for what."""
    counts = curation["counts"]
    return [
        f"Of {counts['train']:,} training questions, {counts['contaminated']:,} "
        f"({percent(curation['contamination_rate'])}) overlapped with a benchmark question and "
        f"{counts['near_duplicates']:,} with each other; they were removed and {counts['kept']:,} kept."
    ]


def curation_tables(curation: Record, most: int, sealed: Collection[str] = ()) -> list[Table]:
    """The sets side by side, the counts, and at most `most` of the removed questions (ids only)."""
    rows = tuple((Cell(_title(name)), Cell(words(value), kind="words")) for name, value in curation["counts"].items())
    found = [_sets_table(curation["sets"]), Table("Training questions", ("What", "Questions"), rows, folded=True)]
    if curation["removed"] and most:
        found.append(_removed_table(curation["removed"], most, sealed))
    return found


def _sets_table(sets: Mapping[str, Record]) -> Table:
    names = next(iter(sets.values()))
    rows = tuple((Cell(_title(n)), *(Cell(_shown(n, d[n]), kind="words") for d in sets.values())) for n in names)
    return Table("Training sets", ("What", *(name.upper() for name in sets)), rows)


def _removed_table(removed: Sequence[Record], most: int, sealed: Collection[str]) -> Table:
    rows = tuple(
        (
            Cell("–" if r.get("match") in sealed else r["id"]),
            Cell(_title(r["reason"]), kind="words"),
            # A rejected trace is too close to nothing.
            Cell("a sealed question" if r.get("match") in sealed else words(r.get("match")), kind="words"),
            Cell(f"{r['score']:.2f}" if is_number(r.get("score")) else "–"),
        )
        for r in removed[:most]
    )
    note = f"The first {len(rows)} of {len(removed)}; curation.json lists all." if len(removed) > most else ""
    return Table("Removed questions", ("Question", "Reason", "Because of", "Overlap"), rows, note, folded=True)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {words(v)}" for k, v in value.items())
    return percent(value) if name.endswith("_share") else words(value)


def _title(name: str) -> str:
    return name.replace("_", " ")
