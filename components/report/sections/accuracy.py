"""Accuracy: knowledge beside reasoning, benchmark by benchmark, and what was not answered, cut off or not asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.report.charts import Dot, Group, axis, dots, percent_tick, stratum_keys
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import (
    PLAIN,
    Record,
    Scores,
    lead_words,
    missing_stratum,
    setting_words,
    short_setting,
)
from components.report.survey import Place
from components.report.tables import accuracy_cell, count, questions_cell, row_head, row_name
from components.report.wording import has_interval, is_number, join, percent, verb

MANY = 3  # models beyond which the overview shows plain answers alone; the tables under it show both


def strata_section(scores: Scores) -> Section:
    """The accuracies on knowledge and on reasoning questions of every model."""
    sentences = strata_sentences(scores)
    if missing := missing_stratum(scores):
        alone = len(scores.strata) > 1
        there = "there are no two accuracies to compare" if alone else "only accuracies over all of them are shown"
        sentences.append(f"{missing}, so {there}.")
    title = "Knowledge and reasoning" if scores.stratified else "Accuracy"
    return Section("strata", title, sentences, [strata_figure(scores)])


def benchmarks_section(scores: Scores) -> Section:
    """The accuracies by benchmark: strata together, then apart."""
    found = [overview_table(scores)]
    if scores.stratified:
        settings = scores.shown(scores.models)
        found += [t for s in settings if (t := benchmark_table(scores, s))]
    sentence = "Accuracy with its 95 % interval. With few questions a row is wide open: read the rows together."
    return Section("benchmarks", "Benchmark by benchmark", [sentence], [], found)


def answered_section(scores: Scores, withheld: Mapping[Place, float]) -> Section:
    """What was not answered: named no option, was cut off, withheld or not asked."""
    return Section("answered", "No answer, cut off, not asked", [], [], [strata_table(scores, withheld)])


def strata_sentences(scores: Scores) -> list[str]:
    """One sentence on the knowledge and reasoning accuracies, and one on models no better than guessing."""
    out: list[str] = []
    where = "" if scores.lead == PLAIN else f", {setting_words(scores.lead)}"
    if where:
        out.append(f"No model was asked plainly: these are accuracies {setting_words(scores.lead)}.")
    pooled = {m: g for m in scores.models if (g := scores.gap(m, "pooled", scores.lead))}
    if pooled:
        better = [m for m, g in pooled.items() if g["ci_low"] > 0]
        worse = [m for m, g in pooled.items() if g["ci_high"] < 0]
        open_ = [m for m in pooled if m not in better + worse]
        parts = [
            f"{join(names)} {text}"
            for names, text in (
                (better, f"{verb(len(better), 'answer')} knowledge questions better than reasoning questions"),
                (worse, f"{verb(len(worse), 'answer')} reasoning questions better than knowledge questions"),
                (open_, f"{verb(len(open_), 'show')} no difference between the two that exceeds its error"),
            )
            if names
        ]
        out.append(f"Pooled over all questions{where}, " + "; ".join(parts) + ".")
    guessing = [m for m in scores.models if (c := scores.cell(m, scores.lead)) and _like_chance(c)]
    if guessing:
        chance = scores.cell(guessing[0], scores.lead)
        assert chance is not None
        out.append(f"{join(guessing)} cannot be told apart from guessing (chance is {percent(chance['chance'])}).")
    return out


def strata_figure(scores: Scores) -> Figure:
    """Knowledge and reasoning accuracy of every model, with intervals and the level of guessing."""
    where = lead_words(scores)
    groups, said = [], []
    for model in scores.models:
        cells = {
            k: c for k in scores.told_apart if (c := scores.cell(model, scores.lead, k)) and is_number(c["accuracy"])
        }
        if cells:
            rows = tuple(Dot(k, c["accuracy"], c["ci_low"], c["ci_high"]) for k, c in cells.items())
            short = ", ".join(f"{k} {percent(c['accuracy'])}" for k, c in cells.items())
            chance = (scores.cell(model, scores.lead) or {}).get("chance")
            groups.append(Group(model, " · ".join(percent(c["accuracy"]) for c in cells.values()), rows, chance))
            said.append(f"{model}: {short}")
    highs = [h for g in groups for d in g.dots for h in (d.value, d.high or 0.0)]
    legend = [*stratum_keys(scores.told_apart), ("mark", "guessing")]
    label = f"Accuracy with 95 % intervals, {where}. " + "; ".join(said) + "."
    drawing = dots(label, groups, axis(highs, percent_tick, 0.0), legend)
    return Figure(drawing, f"Accuracy, {where}. Bars are 95 % intervals by question group.")


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


def strata_table(scores: Scores, withheld: Mapping[Place, float] | None = None) -> Table:
    """Accuracy of every model by stratum and setting, over all benchmarks, with what was not answered.

    `withheld` counts, by model, setting and stratum, the answers that an endpoint's content filter ended.
    """
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in scores.shown([model]):
            for stratum in scores.strata:
                if (cell := scores.cell(model, setting, stratum)) is None:
                    continue
                # Without a recorded end it is not known whether one was withheld either.
                known = 0 if is_number(cell.get("truncated")) else None
                filtered = (withheld or {}).get((model, setting, stratum), known)
                rows.append(
                    (
                        row_name(scores, model, f"{short_setting(setting)}, {stratum}"),
                        accuracy_cell(cell),
                        Cell(percent(cell.get("accuracy_answered"))),
                        Cell(percent(cell.get("chance"))),
                        questions_cell(cell),
                        Cell(_share(cell, cell.get("no_answer"))),
                        Cell(_share(cell, cell.get("truncated"))),
                        *([Cell(_share(cell, filtered))] if withheld else []),
                        Cell(count(cell.get("not_asked"))),
                    )
                )
    head = [row_head(scores), "Accuracy", "Of answered", "Chance", "Questions", "No answer", "Cut off", "Not asked"]
    note = (
        "Accuracy counts an output without a recognisable answer as wrong. Small figures are 95"
        " % intervals by question group."
    )
    if any("adversarial" in scores.opened(model) for model in scores.models):
        note += " Adversarial: mean over the three openings of each question."
    if withheld:
        head.insert(-1, "Withheld")
        note += " Withheld: the endpoint's content filter ended the answer; what it let through was marked like any."
    return Table("Accuracy over all benchmarks", tuple(head), tuple(rows), note, frozenset(starts), compact=True)


def _column(model: str, setting: str) -> str:
    """Without a model's name, which in a report on one would only repeat."""
    if setting == PLAIN:
        return model or "Plain"
    opening = "wrong opening" if setting == "adversarial" else short_setting(setting)
    return f"{model}, {opening}" if model else f"{'With a ' if setting == 'adversarial' else 'After '}{opening}"


def _title(benchmark: str) -> str:
    return {"all": "All questions", "macro": "Mean of benchmarks"}.get(benchmark, benchmark)


def _like_chance(cell: Record) -> bool:
    return is_number(cell.get("chance")) and has_interval(cell) and cell["ci_low"] <= cell["chance"] <= cell["ci_high"]


def _share(cell: Record, number: Any) -> str:
    """A count of questions (a sum of means in the adversarial cells) as a share of those asked."""
    return percent(number / cell["n"]) if is_number(number) and cell["n"] else "–"
