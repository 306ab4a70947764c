"""One cell of a scores.json: the accuracy of some items with its interval, no answers, what guessing gets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from components.scoring.intervals import Interval, accuracy_interval, macro_interval
from components.scoring.outcomes import Array, Codes, ItemTable, Mask, Outcomes
from components.scoring.proportions import copy_weights

Record = dict[str, Any]
Mean = Callable[[Array, Array, Codes], float | None]  # of values, weights and benchmarks


def cell(table: ItemTable, outcomes: Outcomes, mask: Mask) -> Record:
    """The accuracy of some items, and what belongs to it."""
    asked = mask & outcomes.asked
    weights = copy_weights(table.groups[asked], table.benchmark[asked])
    interval = accuracy_interval(outcomes.correct[asked], table.groups[asked], weights=weights)
    return _record(table, outcomes, mask, interval, lambda v, w, _: _mean(v, w))


def macro(table: ItemTable, outcomes: Outcomes, mask: Mask) -> Record:
    """The unweighted mean over benchmarks; the counts are those of all of them together."""
    asked = mask & outcomes.asked
    values, parts, groups = outcomes.correct[asked], table.benchmark[asked], table.groups[asked]
    interval = macro_interval(values, groups, parts, weights=copy_weights(groups, parts))
    return _record(table, outcomes, mask, interval, _mean_of_means)


def _record(table: ItemTable, outcomes: Outcomes, mask: Mask, interval: Interval | None, mean: Mean) -> Record:
    """`correct`, `no_answer` and `truncated` count items; of several samples or prefills they are sums of item means.

    `accuracy`, `accuracy_answered`, `chance` (1 / options) and `baseline` (what guessing gets at best) count the
    copies of a question in one benchmark as one. `above_chance`: whether the whole interval lies above the baseline.
    `accuracy_unread_right` is what the accuracy would be if every unread answer were right; silence after a prefill is
    not unread, since the prefill then stands.
    """
    asked = mask & outcomes.asked
    correct, silent, truncated = outcomes.correct[asked], outcomes.no_answer[asked], outcomes.truncated[asked]
    kept = np.zeros(len(silent)) if outcomes.silent is None else outcomes.silent[asked]
    parts = table.benchmark[asked]
    weights = copy_weights(table.groups[asked], parts)
    guess = table.chance if table.guess is None else table.guess.baseline
    baseline = mean(guess[asked], weights, parts)
    above = None if interval is None or baseline is None else interval.low > baseline
    return {
        "n": int(asked.sum()),
        "groups": int((np.bincount(table.groups[asked]) > 0).sum()),
        "not_asked": int(mask.sum() - asked.sum()),
        "correct": _count(correct.sum()),
        "accuracy": mean(correct, weights, parts),
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "ci_method": interval.method if interval else None,
        "no_answer": _count(silent.sum()),
        "truncated": None if len(truncated) == 0 or np.isnan(truncated).any() else _count(truncated.sum()),
        "accuracy_unread_right": mean(correct + silent - kept, weights, parts),
        "accuracy_answered": mean(*_answered(correct, silent, weights), parts),
        "chance": mean(table.chance[asked], weights, parts),
        "baseline": baseline,
        "above_chance": above,
    }


def _answered(correct: Array, silent: Array, weights: Array) -> tuple[Array, Array]:
    """Right answers and weights of what was answered: of an item that was in part, that part."""
    given = 1 - silent
    return np.where(given > 1e-9, correct / np.maximum(given, 1e-9), 0.0), weights * np.where(given > 1e-9, given, 0.0)


def _mean(values: Array, weights: Array) -> float | None:
    return float(values @ weights / weights.sum()) if weights.sum() > 0 else None


def _mean_of_means(values: Array, weights: Array, parts: Codes) -> float | None:
    sizes = np.bincount(parts, weights=weights)
    if not (sizes > 0).any():
        return None
    sums = np.bincount(parts, weights=weights * values)
    return float((sums[sizes > 0] / sizes[sizes > 0]).mean())


def _count(total: float) -> int | float:
    """A whole number where it is one; of the means of items four digits are kept."""
    return round(total) if math.isclose(total, round(total), abs_tol=1e-6) else round(float(total), 4)
