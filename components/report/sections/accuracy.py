"""Accuracy: knowledge beside reasoning, and benchmark by benchmark."""

from __future__ import annotations

from collections.abc import Collection

from components.report import claims
from components.report.charts import Dot, Group, axis, dots, percent_tick, stratum_keys
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import (
    PLAIN,
    Scores,
    lead_words,
    missing_stratum,
    setting_words,
    short_setting,
)
from components.report.tables import accuracy_cell, questions_cell
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
    sentence = "Accuracy with its 95 % interval. With few questions an interval is wide; do not read a row by itself."
    return Section("benchmarks", "Benchmark by benchmark", [sentence], [], found)


def strata_sentences(scores: Scores) -> list[str]:
    """What the pooled gaps carry, model by model, and which models are no better than guessing."""
    out: list[str] = []
    if differs := scores.versions.get("items"):
        out.append(f"The questions that these answers are scored by are not those that were asked: {differs}.")
    where = "" if scores.lead == PLAIN else f", {setting_words(scores.lead)}"
    if where:
        out.append(f"No model was asked plainly: these are accuracies {setting_words(scores.lead)}.")
    found = {
        m: claims.raw_side(scores, m, setting=scores.lead)
        for m in scores.models
        if scores.gap(m, "pooled", scores.lead)
    }
    carried = {m: claims.better(scores, m, setting=scores.lead) for m in found}
    above = {m for m in scores.models if scores.above_chance(m, scores.lead)}
    more = {side: [m for m, raw in found.items() if raw == side and not carried[m] and m in above] for side in (1, -1)}
    parts = [
        f"{join(names)} {verb(len(names), word)} {text}"
        for names, word, text in (
            ([m for m in found if carried[m] > 0], "answer", "knowledge questions better than reasoning questions"),
            ([m for m in found if carried[m] < 0], "answer", "reasoning questions better than knowledge questions"),
            (more[1], "get", "more of the knowledge questions right, but not beyond what guessing explains"),
            (more[-1], "get", "more of the reasoning questions right, but not beyond what guessing explains"),
            (
                [m for m, raw in found.items() if not raw],
                "show",
                "no difference between the two that exceeds its error",
            ),
        )
        if names
    ]
    if parts:
        out.append(f"Pooled over all questions{where}, " + "; ".join(parts) + ".")
    return out + guessing_sentences(scores, [m for m, raw in found.items() if raw])


def guessing_sentences(scores: Scores, apart: Collection[str]) -> list[str]:
    """Which models guessing equals or beats; `apart` are those whose two accuracies differ beyond error."""
    cells = {m: c for m in scores.models if (c := scores.cell(m, scores.lead)) and has_interval(c)}
    level = {m: guess for m, c in cells.items() if (guess := claims.guess_level(c)) is not None}
    like = [m for m in level if claims.guesses(scores, m, scores.lead)]
    below = [m for m, guess in level.items() if cells[m]["ci_high"] < guess]
    out = []
    for names, text in ((like, "cannot be told apart from guessing"), (below, "{} fewer right than guessing would")):
        if names:
            gets = join(sorted({percent(level[m]) for m in names}))
            out.append(f"{join(names)} {text.format(verb(len(names), 'get'))} (guessing gets {gets}).")
    if differ := [m for m in (*like, *below) if m in apart]:
        out.append(
            f"That the knowledge and reasoning accuracies of {join(differ)} differ says nothing about skill: benchmarks"
            " have unequal numbers of options, and guessing gets more where there are few."
        )
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
            chance = claims.guess_level(scores.cell(model, scores.lead))
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


def _column(model: str, setting: str) -> str:
    """Without a model's name, which in a report on one would only repeat."""
    if setting == PLAIN:
        return model or "Plain"
    prefill = "prefill" if setting == "adversarial" else short_setting(setting)
    return f"{model}, {prefill}" if model else f"After {'a ' if setting == 'adversarial' else ''}{prefill}"


def _title(benchmark: str) -> str:
    return {"all": "All questions", "macro": "Mean of benchmarks"}.get(benchmark, benchmark)
