"""Accuracy benchmark by benchmark, as tables of the report."""

from __future__ import annotations

from components.report.scores import PLAIN, Scores, setting_words, short_setting
from components.report.tables import Cell, Table, accuracy_cell, questions_cell
from components.report.wording import percent

MANY = 3  # models beyond which the overview shows plain answers alone; the tables under it show both


def overview_table(scores: Scores) -> Table:
    """Accuracy per benchmark, strata together, a column a model and setting."""
    columns = [(m, s) for m in scores.models for s in scores.shown([m])]
    if len(scores.models) > MANY:
        columns = [(m, s) for m, s in columns if s == scores.lead]
    rows = []
    for benchmark in [*scores.benchmarks, "all", "macro"]:
        cells = [scores.cell(m, s, "all", benchmark) for m, s in columns]
        known = next((c for c in cells if c), None)
        if known is not None:
            # With strata, the tables under this one say how many of the answered are right.
            shown = [accuracy_cell(c, known["n"], answered=not scores.stratified) for c in cells]
            rows.append((Cell(_title(benchmark)), *shown, questions_cell(known), Cell(percent(known.get("chance")))))
    names = (_column(m if len(scores.models) > 1 else "", s) for m, s in columns)
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
                    *(accuracy_cell(c, known["n"], answered=True) for c in cells),
                    questions_cell(known),
                    Cell(percent(known.get("chance"))),
                )
            )
    caption = f"Accuracy per benchmark and stratum, {setting_words(setting)}"
    head = ("Benchmark", *models, "Questions", "Chance")
    differs = any(cell.more for row in rows for cell in row)
    note = "Of answered: accuracy among the answers that name an option, where it is another." if differs else ""
    return Table(caption, head, tuple(rows), note, frozenset(starts), compact=True, folded=True)


def _column(model: str, setting: str) -> str:
    """Without a model's name, which in a report on one would only repeat."""
    if setting == PLAIN:
        return model or "Plain"
    opening = "wrong opening" if setting == "adversarial" else short_setting(setting)
    return f"{model}, {opening}" if model else f"{'With a ' if setting == 'adversarial' else 'After '}{opening}"


def _title(benchmark: str) -> str:
    return {"all": "All questions", "macro": "Mean of benchmarks"}.get(benchmark, benchmark)
