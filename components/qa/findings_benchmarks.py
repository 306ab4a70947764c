"""Accuracy benchmark by benchmark, as tables of the report."""

from __future__ import annotations

from components.qa.findings import Scores
from components.qa.findings_tables import SETTINGS, Cell, Table, accuracy_cell, questions_cell
from components.qa.wording import percent

MANY = 3  # models beyond which the overview shows plain answers alone; the tables under it show both


def overview_table(scores: Scores) -> Table:
    """Accuracy per benchmark, strata together, a column a model and setting."""
    columns = [(m, s) for m in scores.models for s in SETTINGS if scores.cell(m, s)]
    if len(scores.models) > MANY:
        columns = [(m, s) for m, s in columns if s == "plain"]
    rows = []
    for benchmark in [*scores.benchmarks, "all", "macro"]:
        cells = [scores.cell(m, s, "all", benchmark) for m, s in columns]
        known = next((c for c in cells if c), None)
        if known is not None:
            shown = [accuracy_cell(c, known["n"]) for c in cells]
            rows.append((Cell(_title(benchmark)), *shown, questions_cell(known), Cell(percent(known.get("chance")))))
    alone = {"plain": "Plain", "adversarial": "With a wrong opening"} if len(scores.models) == 1 else {}
    names = (alone.get(s) or (m if s == "plain" else f"{m}, wrong opening") for m, s in columns)
    starts = frozenset({len(scores.benchmarks)})
    head = ("Benchmark", *names, "Questions", "Chance")
    return Table("Accuracy per benchmark", head, tuple(rows), "", starts, compact=len(columns) < 4)


def benchmark_table(scores: Scores, setting: str) -> Table | None:
    """Accuracy per benchmark and stratum, one column a model; None where nothing was asked in that setting."""
    models = [m for m in scores.models if any(scores.cell(m, setting, "all", b) for b in scores.benchmarks)]
    if not models:
        return None
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for benchmark in [*scores.benchmarks, "all", "macro"]:
        starts.add(len(rows))
        for stratum in scores.strata:
            cells = [scores.cell(m, setting, stratum, benchmark) for m in models]
            known = next((c for c in cells if c), None)
            if known is None:
                continue
            rows.append(
                (
                    Cell(_title(benchmark), stratum),
                    *(accuracy_cell(c, known["n"]) for c in cells),
                    questions_cell(known),
                    Cell(percent(known.get("chance"))),
                )
            )
    caption = f"Accuracy per benchmark and stratum, {SETTINGS.get(setting, setting)}"
    head = ("Benchmark", *models, "Questions", "Chance")
    return Table(caption, head, tuple(rows), "", frozenset(starts), compact=True, folded=True)


def _title(benchmark: str) -> str:
    return {"all": "All questions", "macro": "Mean of benchmarks"}.get(benchmark, benchmark)
