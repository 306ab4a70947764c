"""Adversarial drops: plain minus adversarial accuracy of the same items, with Tango's score interval.

Where no answer changed the drop is zero and its interval is not: nothing lost among n questions says at most so much.
A group's drop is the mean over its copies; the mean of three openings moves in thirds, and unequal groups vary more.
Both enter as the number of pairs that would vary as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.outcomes import ADVERSARIAL, STRATA, ItemTable, Outcomes
from components.scoring.proportions import (
    copy_weights,
    covariance,
    quantile,
    root_width,
    satterthwaite,
    tango,
    two_sided_p,
)

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Record = dict[str, Any]

_LEAST = 2  # groups, for an interval
_TINY = 1e-12


def drop_records(table: ItemTable, model: str, settings: Mapping[str, Outcomes]) -> list[Record]:
    """Drops of every stratum over all items, over the mean of benchmarks, and in each; only items asked in both."""
    plain, opened = settings["plain"], settings[ADVERSARIAL]
    both = plain.asked & opened.asked
    records = []
    for stratum in STRATA if table.stratified else STRATA[:1]:
        inside = both & table.mask(stratum)
        if inside.any():
            key = {"model": model, "stratum": stratum}
            difference = (plain.correct - opened.correct)[inside]
            parts = table.benchmark[inside]
            records += _stratum(key, table.benchmarks, difference, parts, table.groups[inside])
    return records


def _stratum(key: Record, names: tuple[str, ...], difference: Array, parts: Codes, groups: Codes) -> list[Record]:
    weights = copy_weights(groups, parts)
    own = {b: _Drop(difference, np.where(parts == b, weights, 0.0), groups) for b in np.unique(parts)}
    records = [
        {**key, "benchmark": "all", **_Drop(difference, weights, groups).record()},
        {**key, "benchmark": "macro", **_macro(list(own.values()))},
    ]
    return [*records, *({**key, "benchmark": names[b], **drop.record()} for b, drop in own.items())]


class _Drop:
    """The weighted mean difference and what Tango's interval needs of it."""

    def __init__(self, difference: Array, weights: Array, groups: Codes) -> None:
        used = weights > 0
        self.group, place = np.unique(groups[used], return_inverse=True)
        size = np.bincount(place, weights=weights[used])
        moved = np.bincount(place, weights=weights[used] * difference[used]) / size
        self.estimate = float(size @ moved / size.sum())
        self.influence = size * (moved - self.estimate) / size.sum()
        count = len(size)
        variance = count / (count - 1) * float(self.influence @ self.influence) if count > 1 else 0.0
        second = max(float(size @ moved**2 / size.sum()), abs(self.estimate))
        self.gain, self.loss = (second + self.estimate) / 2, (second - self.estimate) / 2
        binary = bool(np.isin(moved, (-1.0, 0.0, 1.0)).all() and np.ptp(size) < 1e-9)
        counted = binary or variance <= _TINY
        self.size = float(size.sum() ** 2 / (size @ size)) if counted else (second - self.estimate**2) / variance
        self.df = math.inf if counted else count - 1.0
        self.groups = count

    def limits(self, z: float) -> tuple[float, float]:
        return tango(self.gain, self.loss, self.size, z)

    def record(self) -> Record:
        if self.groups < _LEAST:
            return {"estimate": self.estimate, "ci_low": None, "ci_high": None, "ci_method": None, "p": None}
        low, high = self.limits(quantile(0.975, self.df))
        spread = math.sqrt(max(self.gain + self.loss, _TINY) / self.size)
        # Under no difference Tango's statistic is McNemar's.
        p = 1.0 if abs(self.estimate) < _TINY else two_sided_p(self.estimate / spread, self.df)
        return {"estimate": self.estimate, "ci_low": low, "ci_high": high, "ci_method": "tango", "p": p}


def _macro(own: list[_Drop]) -> Record:
    """The unweighted mean of the benchmarks' drops: their score variances added; none where one has one group."""
    estimate = float(np.mean([drop.estimate for drop in own]))
    if min(drop.groups for drop in own) < _LEAST:
        return {"estimate": estimate, "ci_low": None, "ci_high": None, "ci_method": None, "p": None}
    share = 1 / len(own)
    shared = covariance(
        np.concatenate([drop.group for drop in own]), share * np.concatenate([drop.influence for drop in own])
    )
    normal = quantile(0.975, math.inf)
    halves = np.array([(high - low) / 2 for low, high in (drop.limits(normal) for drop in own)])
    df = satterthwaite((share * halves / normal) ** 2, np.array([drop.groups - 1.0 for drop in own]))
    z = quantile(0.975, df)
    limits = np.array([drop.limits(z) for drop in own])
    down, up = (share * np.abs(limits[:, side] - [drop.estimate for drop in own]) for side in (0, 1))
    reach = [root_width(float(half @ half), z * z * shared) for half in (down, up)]
    towards_zero = max(reach[0] if estimate > 0 else reach[1], _TINY)
    return {
        "estimate": estimate,
        "ci_low": estimate - reach[0],
        "ci_high": estimate + reach[1],
        "ci_method": "score_sum",
        "p": 1.0 if abs(estimate) < _TINY else two_sided_p(z * estimate / towards_zero, df),
    }
