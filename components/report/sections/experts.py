"""Gaps by experts' labels beside the classifier's: all benchmarks in one table, the larger ones in words too."""

from __future__ import annotations

from collections.abc import Mapping

from components.report import claims
from components.report.page import Cell, Table
from components.report.scores import Record, Scores
from components.report.tables import count, gap_cell
from components.report.wording import is_number, join, points, spread

MANY = 3  # models beyond which all are told of without figures, which stand in the table
ENOUGH = 30  # questions from which a benchmark gets a sentence of its own
LONG = 8  # rows beyond which the table opens only when a reader asks for it
EXPERTS_BENCHMARK = "MedXpertQA"  # whose question_type is taken as an expert's
_CALLS, _SLOPE = "hard_minus_expert", "slope_minus_expert"


def sentences(scores: Scores) -> list[str]:
    """How the classifier's gap compares with the experts' on the same questions, and what is known of those labels.

    Of benchmarks with fewer than ENOUGH questions only what is beyond error is named.
    """
    out: list[str] = []
    places = scores.gap_benchmarks("expert")
    told = [place for place in places if (_questions(scores, place) or ENOUGH) >= ENOUGH]
    for place in told:
        out += _of(scores, place)
    if few := [place for place in places if place not in told]:
        out.append(_of_few(scores, few))
    if EXPERTS_BENCHMARK in told:
        out.append(
            f"The authors of {EXPERTS_BENCHMARK} filtered its questions by difficulty, which compresses the gap "
            "there. Who set its question_type, experts or a model, could not be verified."
        )
    return out


def table(scores: Scores) -> Table | None:
    """A row a benchmark and model: the gap by experts' labels, by the classifier's calls, and the two differences."""
    rows: list[tuple[Cell, ...]] = []
    starts = set()
    several = len(scores.models) > 1
    for place in scores.gap_benchmarks("expert"):
        starts.add(len(rows))
        for model in scores.models:
            found = [_gap(scores, model, weighting, place) for weighting in ("expert", "hard", _CALLS, _SLOPE)]
            if any(found):
                name = Cell(place, model if several else "")
                rows.append((name, *map(gap_cell, found), Cell(count(_questions(scores, place)))))
    if not rows:
        return None
    head = ("Benchmark", "Experts", "As called", "Calls minus experts", "Slope minus experts", "Questions")
    note = (
        "Gaps on one benchmark, in points: by the experts' labels, by the classifier's calls, and how far "
        "the calls and the slope are from the experts' on the same questions. Where the last one is not "
        "zero, the slope's assumption does not hold. "
        f"Sentences above are about benchmarks with {ENOUGH} questions or more."
    )
    caption = "The gap by experts' labels and by the classifier, benchmark by benchmark"
    return Table(caption, head, tuple(rows), note, frozenset(starts), compact=True, folded=len(rows) > LONG)


def _of(scores: Scores, place: str) -> list[str]:
    """Of one benchmark with enough questions."""
    apart = _by_model(scores, _CALLS, place)
    parts = [
        f"{words} the experts' for {_named(chosen) if wanted or len(apart) <= MANY else join(list(chosen))}"
        for wanted, words in ((1, "larger than"), (-1, "smaller than"), (0, "not shown to differ from"))
        if (chosen := {m: gap for m, gap in apart.items() if claims.side(gap) == wanted})
    ]
    off = {m: gap for m, gap in _by_model(scores, _SLOPE, place).items() if claims.side(gap)}
    told = [f"On {place} the classifier's gap on the same questions is {join(parts, '; ')}."] if parts else []
    if off:
        told.append(f"On {place} the slope's assumption does not hold for {_named(off, 'off by ')}.")
    return [" ".join(told)] if told else []


def _of_few(scores: Scores, places: list[str]) -> str:
    """One sentence on all benchmarks with few questions: where a difference is beyond error in spite of that."""
    lead = f"{join(places)} {'has' if len(places) == 1 else 'have'} fewer than {ENOUGH} questions; the table shows "
    lead += f"{'its' if len(places) == 1 else 'their'} gaps by experts' labels."
    found = []
    for weighting, words in ((_CALLS, "the classifier's gap"), (_SLOPE, "the slope")):
        apart = [
            f"{place} ({_named(beyond)})"
            for place in places
            if (beyond := {m: gap for m, gap in _by_model(scores, weighting, place).items() if claims.side(gap)})
        ]
        if apart:
            found.append(f"{words} differs from the experts' on {join(apart)}")
    said = join(found, "; ") if found else "neither the classifier's gap nor the slope differs from the experts' on any"
    return f"{lead} Beyond error, {said}."


def _questions(scores: Scores, place: str) -> int | None:
    """How many questions of a benchmark were asked; None where the scores do not say."""
    cells = (scores.cell(model, scores.lead, "all", place) for model in scores.models)
    return next((int(cell["n"]) for cell in cells if cell and is_number(cell.get("n"))), None)


def _gap(scores: Scores, model: str, weighting: str, place: str) -> Record | None:
    return scores.gap(model, "within_benchmark", scores.lead, weighting, benchmark=place)


def _by_model(scores: Scores, weighting: str, place: str) -> dict[str, Record]:
    found = {model: _gap(scores, model, weighting, place) for model in scores.models}
    return {model: gap for model, gap in found.items() if gap}


def _named(gaps: Mapping[str, Record], words: str = "") -> str:
    told = (f"{points(g['estimate'])}, {spread(g['ci_low'], g['ci_high'], True)}" for g in gaps.values())
    return join([f"{model} ({words}{text})" for model, text in zip(gaps, told, strict=True)])
