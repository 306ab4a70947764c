"""The tests behind the report's sentences on gaps: what may be called better, and what guessing explains."""

from __future__ import annotations

from components.report.scores import Record, Scores
from components.report.wording import has_interval, is_number
from components.scoring.gaps.records import ADJUSTMENTS

ALPHA = 0.05
KNOWLEDGE, REASONING, NEITHER = 1, -1, 0


def side(gap: Record) -> int:
    """The side of zero on which the whole interval lies, 0 for none.

    Where several models stand beside one another, Holm's adjusted p has to say so too.
    """
    adjusted = gap.get("p_holm")
    if not has_interval(gap) or (is_number(adjusted) and float(adjusted or 0) > ALPHA):
        return NEITHER
    return KNOWLEDGE if gap["ci_low"] > 0 else REASONING if gap["ci_high"] < 0 else NEITHER


def better(scores: Scores, model: str, kind: str = "pooled", setting: str = "plain") -> int:
    """Which kind of question a model may be said to answer better, 0 for neither.

    Its accuracy has to be above guessing, and the gap beyond error on the same side of zero in accuracy, over guessing
    and over what the model's own letters get: option counts and uneven keys make a gap for whoever guesses.
    """
    if not scores.above_chance(model, setting):
        return NEITHER
    gaps = [g for name in ADJUSTMENTS if (g := scores.gap(model, kind, setting, adjustment=name))]
    sides = {side(gap) for gap in gaps}
    return sides.pop() if len(sides) == 1 else NEITHER


def raw_side(scores: Scores, model: str, kind: str = "pooled", setting: str = "plain") -> int:
    """The side of the gap in accuracy alone."""
    gap = scores.gap(model, kind, setting)
    return side(gap) if gap else NEITHER


def guesses(scores: Scores, model: str, setting: str = "plain") -> bool:
    """Whether a model's accuracy cannot be told from guessing: its interval holds what guessing gets."""
    cell = scores.cell(model, setting)
    guess = guess_level(cell)
    return cell is not None and has_interval(cell) and guess is not None and cell["ci_low"] <= guess <= cell["ci_high"]


def guess_level(cell: Record | None) -> float | None:
    """What guessing gets at best: the better of 1 / options and the commonest key; older scores know the former."""
    value = (cell or {}).get("baseline")
    if not is_number(value):
        value = (cell or {}).get("chance")
    return float(value) if is_number(value) else None  # type: ignore[arg-type]
