"""The gap: knowledge minus reasoning accuracy, what each way of measuring it answers, and what the figures carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.report import claims
from components.report.charts import Dot, Group, around_zero, dots, point_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import (
    GAP_KINDS,
    PLAIN,
    RAW,
    Record,
    Scores,
    lead_words,
    missing_stratum,
    short_setting,
)
from components.report.sections import experts
from components.report.tables import beside, gap_cell, interval, row_head, row_name
from components.report.wording import has_interval, is_number, join, percent, points, signed, spread

# Rows of the table by setting: its name, weighting and adjustment.
MEASURES = (("as called", "hard", "none"), ("over guessing", "hard", "chance"), ("by slope", "slope", "none"))
POOLED, WITHIN = "pooled", "within benchmarks"
MANY = 3  # models beyond which all are told of in the same sentences
FEW = 2  # models whose figures stand in a sentence; those of more stand in the table
_BETTER = {1: "knowledge", -1: "reasoning"}


def section(scores: Scores, model: str) -> Section:
    """The gaps of every model, and how that of `model` follows the threshold."""
    title, by_setting = "The gap between knowledge and reasoning", gap_table(scores)
    missing = missing_stratum(scores) or "One stratum has too few questions"
    if by_setting is None:
        return Section("gaps", title, absent=f"{missing}, so there is no gap to show.")
    figure = gap_figure(scores)
    intro = (
        "A gap is knowledge accuracy minus reasoning accuracy. Reasoning questions are not spread evenly over "
        "benchmarks, so a pooled gap also measures how hard the benchmarks are that hold them. The gap within "
        "benchmarks holds benchmarks fixed."
    )
    if figure is None:
        intro = f"{missing}: a gap can only be measured by the slope of correctness on the probability of reasoning."
    sentences = [intro, *gap_sentences(scores), *attenuation_sentences(scores), *experts.sentences(scores)]
    found = [estimands_table(scores), experts.table(scores), by_setting, sensitivity_table(scores, model)]
    return Section("gaps", title, sentences, [figure] if figure else [], [t for t in found if t])


def gap_sentences(scores: Scores) -> list[str]:
    """Per model, what its gaps as called show; of a model that guessing equals or beats, that they show nothing."""
    if len(scores.models) > MANY:
        return overall_sentences(scores)
    out = []
    for model in scores.models:
        gaps = {GAP_KINDS[kind]: g for kind in GAP_KINDS if (g := scores.gap(model, kind, scores.lead))}
        if not gaps:
            continue
        if not scores.above_chance(model, scores.lead):
            out.append(
                f"{model} is not above guessing, so its gaps say nothing about knowledge or reasoning: "
                f"{_figures(gaps)}."
            )
            continue
        explained = [
            name
            for kind, name in GAP_KINDS.items()
            if name in gaps and claims.side(gaps[name]) and not claims.better(scores, model, kind, scores.lead)
        ]
        if len(gaps) > 1 or explained:
            out.append(gap_sentence(model, gaps, explained))
    return out


def overall_sentences(scores: Scores) -> list[str]:
    """The same of many models at once, by kind of gap and without figures, which stand in the table."""
    above = [m for m in scores.models if scores.above_chance(m, scores.lead)]
    out = []
    for kind, name in GAP_KINDS.items():
        sides = {m: claims.better(scores, m, kind, scores.lead) for m in above if scores.gap(m, kind, scores.lead)}
        parts = [
            f"{text} {join(chosen)}"
            for wanted, text in (
                (1, "knowledge questions are answered better by"),
                (-1, "reasoning questions are answered better by"),
                (0, "no difference beyond error and guessing is shown for"),
            )
            if (chosen := [m for m, own in sides.items() if own == wanted])
        ]
        if parts:
            out.append(f"{name[:1].upper()}{name[1:]}, as called: {'; '.join(parts)}.")
    if rest := [m for m in scores.models if m not in above and scores.gap(m, "pooled", scores.lead)]:
        out.append(f"Of {join(rest)}, not above guessing, the gaps say nothing about knowledge or reasoning.")
    return out


def gap_sentence(model: str, gaps: Mapping[str, Record], explained: list[str] | None = None) -> str:
    """On which side of zero the gaps of one model lie, by their names; `explained` ones are none over guessing."""
    sides = {name: 0 if name in (explained or []) else claims.side(gap) for name, gap in gaps.items()}
    found = set(sides.values())
    if found == {0} and not explained:
        alone = any(has_interval(g) and not g["ci_low"] <= 0 <= g["ci_high"] for g in gaps.values())
        adjusted = " once p is adjusted for the models beside it (Holm)" if alone else ""
        return f"{model}: no gap as called exceeds its error{adjusted}: {_figures(gaps)}."
    if len(found) == 1 and not explained:
        return f"{model} answers {_BETTER[found.pop()]} questions better, as called: {_figures(gaps)}."
    texts = {side: f"{kind.capitalize()} questions are answered better" for side, kind in _BETTER.items()}
    parts = [
        f"{text}: {_figures(chosen)}."
        for side, text in (*texts.items(), (0, "Within error"))
        if (chosen := {n: gaps[n] for n, own in sides.items() if own == side and n not in (explained or [])})
    ]
    if explained:
        parts.append(
            f"Beyond error, but not beyond what guessing explains: {_figures({n: gaps[n] for n in explained})}."
        )
    if sides.get(POOLED) and sides.get(WITHIN) == 0:
        parts.append(
            "Benchmarks that hold more reasoning questions may be harder, which the pooled gap contains and the gap "
            "within benchmarks does not."
        )
    return f"{model}, by the kinds of questions as called. {' '.join(parts)}"


def attenuation_sentences(scores: Scores) -> list[str]:
    """How far the classifier's errors shrink the gaps as called, and what the slope says under its assumption."""
    factors: dict[str, list[float]] = {}
    for model in scores.models:
        for kind, name in GAP_KINDS.items():
            gap = scores.gap(model, kind, scores.lead)
            if gap and is_number(gap.get("attenuation")):
                factors.setdefault(name, []).append(gap["attenuation"])
    if not factors:
        return []
    shown = join([f"{_range(values)} {name}" for name, values in factors.items()])
    out = [
        "A classifier calls the questions reasoning or knowledge, and its errors shrink a gap. By its own "
        "probabilities a true gap appears "
        f"multiplied by {shown}. So a small gap as called is no evidence of a small gap, and two that agree "
        "may be small for the same cause."
    ]
    slopes = {
        m: {GAP_KINDS[kind]: g for kind in GAP_KINDS if (g := scores.gap(m, kind, scores.lead, "slope"))}
        for m in scores.models
        if scores.above_chance(m, scores.lead)
    }
    if told := [f"{m} {_figures(gaps)}" for m, gaps in slopes.items() if gaps]:
        figures = f": {'; '.join(told)}." if len(told) <= FEW else "; its figures stand in the table."
        out.append(
            "If the classifier's errors do not depend on whether the answer is right, and its probabilities are "
            f"calibrated, the slope gives the gap between questions that truly are of either kind{figures}"
        )
    return out


def gap_figure(scores: Scores) -> Figure | None:
    """The gap as called by three ways of pooling, around zero."""
    groups, said = [], []
    for model in scores.models:
        gaps = {k: g for k in GAP_KINDS if (g := scores.gap(model, k, scores.lead))}
        if gaps:
            rows = tuple(Dot(k, g["estimate"], g["ci_low"], g["ci_high"]) for k, g in gaps.items())
            groups.append(Group(model, " · ".join(point_tick(g["estimate"]) for g in gaps.values()), rows))
            said.append(model + ": " + ", ".join(f"{GAP_KINDS[k]} {points(g['estimate'])}" for k, g in gaps.items()))
    if not groups:
        return None
    label = "Knowledge minus reasoning accuracy with 95 % intervals. " + "; ".join(said) + "."
    legend = list(GAP_KINDS.items())
    drawing = dots(label, groups, around_zero(groups), legend, zero=True)
    caption = (
        f"Knowledge minus reasoning, in points, {lead_words(scores)}, as called and not over guessing. Right of zero: "
        "a larger share of the knowledge questions is answered right."
    )
    return Figure(drawing, caption)


def gap_table(scores: Scores) -> Table | None:
    """The gap of every setting by the three ways of pooling: as called, over guessing, by slope; None without any."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in scores.shown([model]):
            for name, weighting, adjustment in MEASURES:
                gaps = [scores.gap(model, kind, setting, weighting, adjustment) for kind in GAP_KINDS]
                if any(gaps):
                    cells = (Cell(signed(g["estimate"]), interval(g, True)) if g else Cell("–") for g in gaps)
                    rows.append((row_name(scores, model, f"{short_setting(setting)}, {name}"), *cells))
    if not rows:
        return None
    head = (row_head(scores), "Pooled", "Within benchmarks", "Mean of benchmarks")
    note = "Positive: a larger share of the knowledge questions is answered right. The table above says what each is."
    caption = "The gap in every setting, in points"
    return Table(caption, head, tuple(rows), note, frozenset(starts), compact=True, folded=True)


def sensitivity_table(scores: Scores, model: str) -> Table | None:
    """The plain gap of one model for other thresholds on the reasoning probability."""
    found: dict[float, dict[str, Record]] = {}
    for record in scores.sensitivity:
        here = (record["model"], record["setting"], record["benchmark"]) == (model, PLAIN, "all")
        if here and is_number(record["estimate"]):
            found.setdefault(record["threshold"], {})[record["kind"]] = record
    rows = []
    for threshold, kinds in sorted(found.items()):
        gaps = (kinds.get(kind) for kind in ("pooled", "within_benchmark"))
        cells = (Cell(signed(g["estimate"]), interval(g, True), more=beside(g)) if g else Cell("–") for g in gaps)
        share = next(iter(kinds.values()))["reasoning_share"]
        rows.append((Cell(f"{threshold:.1f}"), Cell(percent(share, 0)), *cells))
    head = ("Threshold", "Called reasoning", "Pooled", "Within benchmarks")
    caption = f"The gap of {model} at other thresholds, in points"
    note = (
        "× is the factor by which the classifier's errors shrink a true gap; p is adjusted for the thresholds (Holm)."
    )
    return Table(caption, head, tuple(rows), note, compact=True, folded=True) if rows else None


def _range(values: list[float]) -> str:
    texts = list(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))
    return " to ".join(texts)


def _points(gap: Record) -> str:
    return f"{points(gap['estimate'])} ({_interval(gap)})"


def _interval(gap: Record) -> str:
    return spread(gap["ci_low"], gap["ci_high"], True)


def _figures(gaps: Mapping[str, Record]) -> str:
    return ", ".join(f"{name} {_points(gap)}" for name, gap in gaps.items())


_COLUMNS = 3  # models beyond which the questions stand before the figures


@dataclass(frozen=True)
class Estimand:
    """A row of the table: its name, the question it answers, and where its record is found."""

    name: str
    question: str
    kind: str
    weighting: str = "hard"
    adjustment: str = RAW
    benchmark: str = "all"


_TRUE = (
    "The gap between questions that truly are of either kind, if the classifier's errors do not depend on the answers"
)
ESTIMANDS = (
    Estimand(
        "Pooled", "How much better are questions called knowledge answered, whatever benchmark they are from?", "pooled"
    ),
    Estimand(
        "Pooled, between benchmarks",
        "How much of the pooled gap comes from easier benchmarks that hold more of the knowledge questions (Kitagawa)?",
        "kitagawa_between",
    ),
    Estimand(
        "Pooled, within",
        "How much comes from questions of one benchmark being answered differently? The two add up to pooled.",
        "kitagawa_within",
    ),
    Estimand("Within benchmarks", "What gap is left when benchmarks are held fixed?", "within_benchmark"),
    Estimand(
        "Mean of benchmarks",
        "What is the mean of the gaps of benchmarks with five or more questions of each kind?",
        "macro",
    ),
    Estimand(
        "Pooled, over guessing",
        "The pooled gap, where 0 is what guessing gets and 1 is right.",
        "pooled",
        "hard",
        "chance",
    ),
    Estimand("Within, over guessing", "The same within benchmarks.", "within_benchmark", "hard", "chance"),
    Estimand(
        "Pooled, over own letters",
        "The pooled gap, where 0 is what this model's letters would get if they did not depend on the question.",
        "pooled",
        "hard",
        "letters",
    ),
    Estimand("Within, over own letters", "The same within benchmarks.", "within_benchmark", "hard", "letters"),
    Estimand("Slope, pooled", f"{_TRUE} and its probabilities are calibrated.", "pooled", "slope"),
    Estimand("Slope, within benchmarks", "The same within benchmarks.", "within_benchmark", "slope"),
    Estimand("Matrix, pooled", f"{_TRUE}: the gap as called divided by its factor.", "pooled", "matrix"),
    Estimand("Matrix, within benchmarks", "The same within benchmarks.", "within_benchmark", "matrix"),
    Estimand(
        "Labelled sample, pooled",
        "The gap by true labels, from questions drawn for labelling; no assumption.",
        "pooled",
        "dsl",
    ),
    Estimand("Labelled sample, within", "The same within benchmarks.", "within_benchmark", "dsl"),
)


def estimands_table(scores: Scores) -> Table | None:
    """A row an estimand, a column a model, for the setting that leads; None without any gap."""
    rows = []
    for estimand in ESTIMANDS:
        found = [_find(scores, model, estimand) for model in scores.models]
        if any(found):
            rows.append(_row(estimand.name, [gap_cell(gap) for gap in found], estimand.question))
        if estimand == ESTIMANDS[0] and (bounds := _bounds_row(scores)):
            rows.append(bounds)
    if not rows:
        return None
    several = len(scores.models) > 1
    note = (
        "Positive: a larger share of the knowledge questions is answered right. × is the attenuation factor: by the "
        "classifier's own probabilities a true gap shows multiplied by it."
    )
    if several:
        note += " p is adjusted for the models beside one another (Holm)."
    caption = f"Knowledge minus reasoning, in points, {lead_words(scores)}: which question each figure answers"
    columns = tuple(scores.models) if several else ("Gap",)
    head = ("Estimate", *columns, "Question") if len(columns) <= _COLUMNS else ("Estimate", "Question", *columns)
    return Table(caption, head, tuple(rows), note)


def _row(name: str, figures: Sequence[Cell], question: str) -> tuple[Cell, ...]:
    """The question stands last, where a phone shows figures first; beside the name where figures are many."""
    words = Cell(question, kind="words")
    return (Cell(name), *figures, words) if len(figures) <= _COLUMNS else (Cell(name), words, *figures)


def _find(scores: Scores, model: str, wanted: Estimand) -> Record | None:
    return scores.gap(model, wanted.kind, scores.lead, wanted.weighting, wanted.adjustment, wanted.benchmark)


def _bounds_row(scores: Scores) -> tuple[Cell, ...] | None:
    """What the true pooled gap may be, without any assumption on the classifier's errors."""
    gaps = [scores.gap(model, "pooled", scores.lead) for model in scores.models]
    ends = [(g.get("bound_low"), g.get("bound_high")) if g else (None, None) for g in gaps]
    if not any(is_number(low) and is_number(high) for low, high in ends):
        return None
    question = (
        "What may the true pooled gap be, whatever the classifier's errors depend on? Needs calibrated probabilities."
    )
    texts = (spread(low, high, True) if is_number(low) and is_number(high) else "–" for low, high in ends)
    return _row("Pooled, bounds", [Cell(text) for text in texts], question)
