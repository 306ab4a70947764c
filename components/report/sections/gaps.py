"""The gap: knowledge minus reasoning accuracy, measured several ways, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping

from components.report.charts import Dot, Group, around_zero, dots, point_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import (
    GAP_KINDS,
    PLAIN,
    Record,
    Scores,
    lead_words,
    missing_stratum,
    short_setting,
)
from components.report.tables import interval, row_head, row_name
from components.report.wording import is_number, percent, points, signed, spread

WEIGHTINGS = ("hard", "soft")
POOLED, WITHIN = "pooled", "within benchmarks"


def section(scores: Scores, model: str) -> Section:
    """The gaps of every model, and how that of `model` follows the threshold."""
    title, table = "The gap, three ways", gap_table(scores)
    missing = missing_stratum(scores) or "One stratum has too few questions"
    if table is None:
        return Section("gaps", title, absent=f"{missing}, so there is no gap to show.")
    figure = gap_figure(scores)
    intro = (
        "Reasoning questions are not spread evenly over benchmarks, so a pooled gap mixes how hard a benchmark is with "
        "how the model reasons. The gap within benchmarks compares like with like."
    )
    if figure is None:
        intro = f"{missing}: a gap can be measured only with soft strata, which weigh each question by its probability."
    sentences = [intro, *gap_sentences(scores)]
    found = [table, sensitivity_table(scores, model)]
    return Section("gaps", title, sentences, [figure] if figure else [], [t for t in found if t])


def gap_sentences(scores: Scores) -> list[str]:
    """Per model, whether its gap survives inside benchmarks and with soft strata."""
    out = []
    for model in scores.models:
        gaps = {
            GAP_KINDS[kind] + (" with soft strata" if weighting == "soft" else ""): gap
            for weighting in WEIGHTINGS
            for kind in GAP_KINDS
            if (gap := scores.gap(model, kind, scores.lead, weighting))
        }
        if len(gaps) > 1:
            out.append(gap_sentence(model, gaps))
    return out


def gap_sentence(model: str, gaps: Mapping[str, Record]) -> str:
    """Whether all measures of the gap of one model, by their names, lie beyond error on the same side of zero."""
    verdicts = {name: _verdict(gap) for name, gap in gaps.items()}
    found = set(verdicts.values())
    if found == {0}:
        signs = {gap["estimate"] > 0 for gap in gaps.values() if abs(gap["estimate"]) >= 0.0005}
        which = "the measures differ in sign, but none shows" if len(signs) > 1 else "no measure shows"
        return f"{model}: {which} a difference beyond its error: {_figures(gaps)}."
    better = {1: "knowledge is answered better", -1: "reasoning is answered better"}
    if len(found) == 1:
        return f"{model}: the measures agree, {better[found.pop()]}: {_figures(gaps)}."
    head = "the measures disagree"
    if {1, -1} <= found:
        head += ": some lie beyond error on either side of zero"
    elif verdicts.get(POOLED) and verdicts.get(WITHIN) == 0:
        head += (
            ". The pooled gap exceeds its error but is not seen within benchmarks, so it may say more about which "
            "benchmarks hold the reasoning questions than about the model"
        )
    texts = {1: "Knowledge is answered better", -1: "Reasoning is answered better", 0: "The interval includes zero"}
    parts = [
        f"{text}: {_figures({name: gaps[name] for name, own in verdicts.items() if own == verdict})}."
        for verdict, text in texts.items()
        if verdict in found
    ]
    return f"{model}: {head}. {' '.join(parts)}"


def gap_figure(scores: Scores) -> Figure | None:
    """The gap by three ways of pooling, around zero."""
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
        f"Knowledge minus reasoning, in points, {lead_words(scores)}. Right of zero: knowledge is answered better."
    )
    return Figure(drawing, caption)


def gap_table(scores: Scores) -> Table | None:
    """The knowledge minus reasoning gap by the three ways of pooling, hard and soft strata; None without any."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        for setting in scores.shown([model]):
            for weighting in WEIGHTINGS:
                gaps = [scores.gap(model, kind, setting, weighting) for kind in GAP_KINDS]
                if any(gaps):
                    cells = (Cell(signed(g["estimate"]), interval(g, True)) if g else Cell("–") for g in gaps)
                    rows.append((row_name(scores, model, f"{short_setting(setting)}, {weighting} strata"), *cells))
    if not rows:
        return None
    head = (row_head(scores), "Pooled", "Within benchmarks", "Mean of benchmarks")
    note = (
        "Positive: knowledge questions are answered better. Pooled as in the paper; within benchmarks: each "
        "benchmark's own gap, weighted by its questions; soft strata weigh each question by its probability."
    )
    return Table("Knowledge minus reasoning, in points", head, tuple(rows), note, frozenset(starts), compact=True)


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
        cells = (Cell(signed(g["estimate"]), interval(g, True)) if g else Cell("–") for g in gaps)
        share = next(iter(kinds.values()))["reasoning_share"]
        rows.append((Cell(f"{threshold:.1f}"), Cell(percent(share, 0)), *cells))
    head = ("Threshold", "Called reasoning", "Pooled", "Within benchmarks")
    caption = f"The gap of {model} at other thresholds, in points"
    return Table(caption, head, tuple(rows), compact=True, folded=True) if rows else None


def _figures(gaps: Mapping[str, Record]) -> str:
    return ", ".join(
        f"{name} {points(g['estimate'])} ({spread(g['ci_low'], g['ci_high'], True)})" for name, g in gaps.items()
    )


def _verdict(gap: Record) -> int:
    return 1 if gap["ci_low"] > 0 else -1 if gap["ci_high"] < 0 else 0
