"""The gap by every estimate there is, in one table: which question each answers, its figure, and what shrinks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.report.page import Cell, Table
from components.report.scores import RAW, Record, Scores, lead_words
from components.report.tables import interval
from components.report.wording import is_number, signed, spread

MANY = 3  # models beyond which the questions stand before the figures
EXPERTS_BENCHMARK = "MedXpertQA"  # whose question_type is taken as an expert's


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
    wanted = [*ESTIMANDS, *(e for place in scores.gap_benchmarks("expert") for e in _of_experts(place))]
    rows = []
    for estimand in wanted:
        found = [_find(scores, model, estimand) for model in scores.models]
        if any(found):
            rows.append(_row(estimand.name, [_cell(gap) for gap in found], estimand.question))
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
    head = ("Estimate", *columns, "Question") if len(columns) <= MANY else ("Estimate", "Question", *columns)
    return Table(caption, head, tuple(rows), note)


def _row(name: str, figures: Sequence[Cell], question: str) -> tuple[Cell, ...]:
    """The question stands last, where a phone shows figures first; beside the name where figures are many."""
    words = Cell(question, kind="words")
    return (Cell(name), *figures, words) if len(figures) <= MANY else (Cell(name), words, *figures)


def _of_experts(place: str) -> list[Estimand]:
    at = {"kind": "within_benchmark", "benchmark": place}
    return [
        Estimand(f"{place}, experts", "What is the gap by the experts' labels?", weighting="expert", **at),
        Estimand(f"{place}, as called", "What is it by the classifier's calls on that benchmark?", **at),
        Estimand(
            f"{place}, calls minus experts",
            "How far is the classifier's gap from the experts' on the same questions?",
            weighting="hard_minus_expert",
            **at,
        ),
        Estimand(
            f"{place}, slope minus experts",
            "How far is the slope from the experts' gap? Away from zero, its assumption does not hold there.",
            weighting="slope_minus_expert",
            **at,
        ),
    ]


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


def _cell(gap: Record | None) -> Cell:
    if gap is None:
        return Cell("–", kind="muted")
    return Cell(signed(gap["estimate"]), interval(gap, True), more=beside(gap))


def beside(gap: Record) -> str:
    """The attenuation factor of a gap and its p by Holm, where it has them."""
    factor, p = gap.get("attenuation"), gap.get("p_holm")
    texts = [f"× {factor:.2f}"] if is_number(factor) else []
    texts += [f"p {p:.2g}"] if is_number(p) else []
    return ", ".join(texts)
