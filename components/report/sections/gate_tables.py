"""The gate's tables beside its rules: settings, guard, flips, equivalence, and open beside sealed questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.report.page import Cell, Table
from components.report.scores import Record, short_setting
from components.report.tables import accuracy_cell, count, interval, questions_cell, words
from components.report.wording import is_number, percent, signed

FRACTIONS = ("alpha", "margin", "no_answer_bound", "benchmark_margin")
_MEANING = {
    "alpha": "chance of any false promotion, over all decisions",
    "margin": "loss that still counts as not worse",
    "no_answer_bound": "share of unanswered questions to be excluded",
    "schedule": "how decisions share alpha",
    "horizon": "decisions that share alpha under the schedule horizon",
    "benchmark_margin": "largest loss on one benchmark that may be shown",
    "guard_columns": "columns guarded like benchmarks",
    "level": "level of each rule at this decision",
}


def settings_table(decision: Record) -> Table | None:
    """The settings of the gate, each beside its default; those that were changed are marked."""
    found: Mapping[str, Any] = decision.get("rules") or {}
    rows = [
        (
            Cell(name.replace("_", " "), _MEANING.get(name, "")),
            Cell(_setting(name, setting["value"])),
            Cell(_setting(name, setting["default"])),
            Cell("changed", kind="bad") if setting["changed"] else Cell("as it comes", kind="muted"),
        )
        for name, setting in found.items()
    ]
    head = ("Setting", "Here", "Default", "")
    return (
        Table("Settings of the gate", head, tuple(rows), compact=True, folded=not changed(decision)) if rows else None
    )


def changed(decision: Record) -> list[str]:
    """Settings of the gate that are not the defaults; the level, which follows from others, is not among them."""
    found = decision.get("rules") or {}
    return [name.replace("_", " ") for name, setting in found.items() if setting["changed"] and name != "level"]


def guard_table(decision: Record) -> Table | None:
    """Every guarded benchmark (and value of a guarded column) and setting, the worst first."""
    rows = [
        (
            Cell(cell["value"] if cell["column"] == "dataset_name" else f"{cell['column']}: {cell['value']}"),
            Cell(short_setting(cell["setting"])),
            Cell(signed(cell["estimate"]), interval(cell, True)),
            Cell(f"{cell['p_holm']:.2g}"),
            questions_cell(cell),
            Cell("lost", kind="bad") if cell["lost"] else Cell("no loss shown"),
        )
        for cell in decision.get("guard") or []
    ]
    note = (
        "Candidate minus baseline in points, the most suspicious first. p is one-sided against no loss, adjusted for "
        "all rows (Holm). Rows with fewer than ten questions cannot show a loss and are left out."
    )
    head = ("Benchmark", "Setting", "Difference", "p", "Questions", "Verdict")
    lost = any(cell["lost"] for cell in decision.get("guard") or [])
    return Table("The guard, by benchmark", head, tuple(rows), note, compact=True, folded=not lost) if rows else None


def flips_table(decision: Record) -> Table | None:
    """Right answers that became wrong and wrong ones that became right: all questions, then plain by benchmark."""
    found: Sequence[Record] = decision.get("flips") or []
    whole = [r for r in found if r["benchmark"] == "all"]
    plain = [r for r in found if r["setting"] == "plain" and r["stratum"] == "all" and r["benchmark"] != "all"]
    rows = [
        (
            Cell(
                "All questions" if r["benchmark"] == "all" else r["benchmark"],
                f"{short_setting(r['setting'])}, {r['stratum']}",
            ),
            Cell(count(r["right_to_wrong"])),
            Cell(count(r["wrong_to_right"])),
            Cell(percent((r["right_to_wrong"] + r["wrong_to_right"]) / r["n"]) if r["n"] else "–"),
            Cell(f"{r['p_mcnemar']:.2g}" if is_number(r["p_mcnemar"]) else "–"),
            questions_cell(r),
        )
        for r in (*whole, *plain)
    ]
    note = (
        f"From {decision['baseline']} to {decision['candidate']}, in questions. p is McNemar's exact two-sided one "
        "over question groups; it is not adjusted for the number of rows and decides nothing."
    )
    head = ("Questions", "Right to wrong", "Wrong to right", "Flipped", "p (McNemar)", "Asked")
    return Table("Answers that flipped", head, tuple(rows), note, frozenset({len(whole)}), True, True) if rows else None


def equivalence_table(decision: Record) -> Table | None:
    """Whether the two models are equivalent, cell by cell; None where it was not asked."""
    found = decision.get("equivalence")
    if not found:
        return None
    rows = [
        (
            Cell(f"{short_setting(cell['setting']).capitalize()}, {cell['stratum']}"),
            Cell(signed(cell["estimate"]), interval(cell, True)),
            Cell(f"{cell['p']:.2g}"),
            questions_cell(cell),
            Cell("within the margin", kind="good") if cell["equivalent"] else Cell("not shown", kind="bad"),
        )
        for cell in found["cells"]
    ]
    note = f"Two one-sided tests a row, each at level {found['level']:.2g}; all rows have to hold."
    caption = f"Equivalence within {percent(found['margin'])[:-2]} points"
    return Table(caption, ("Cell", "Difference", "p", "Questions", "Verdict"), tuple(rows), note, compact=True)


def parts_table(decision: Record) -> Table | None:
    """Accuracy on the open and on the sealed questions, side by side; None where nothing is sealed."""
    parts: Sequence[Record] = decision.get("parts") or []
    rows = [
        (
            Cell(part["model"], f"{short_setting(part['setting'])}, {part['stratum']}"),
            accuracy_cell(part["open"]),
            Cell(count(part["open"]["n"])),
            accuracy_cell(part["sealed"]),
            Cell(count(part["sealed"]["n"])),
        )
        for part in parts
    ]
    note = "A model fitted to questions that reports showed is better on the open ones."
    head = ("Model", "Open", "Questions", "Sealed", "Questions")
    return Table("Open and sealed questions side by side", head, tuple(rows), note, compact=True) if rows else None


def tables(decision: Record) -> Iterable[Table]:
    """All of them that the decision has."""
    makers = (equivalence_table, parts_table, settings_table, guard_table, flips_table)
    return [table for make in makers if (table := make(decision)) is not None]


def _setting(name: str, value: Any) -> str:
    if name in FRACTIONS and is_number(value):
        return percent(value)
    return words(value) if value != [] else "none"
