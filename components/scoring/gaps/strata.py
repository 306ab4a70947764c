"""The gap between two strata of items, pooled and by benchmark, with score intervals; raw or over guessing.

Pooled over benchmarks the gap also measures which benchmarks hold the reasoning questions, so it is given within
benchmarks too: the mean of each benchmark's own gap, weighted by k r / (k + r) for its k knowledge and r reasoning
items. That is the stratum's coefficient in a linear regression with a term for every benchmark, and Mantel and
Haenszel's weighting; weighted by k + r, a benchmark of 498 and 2 questions would count as one of 500. The macro gap is
the unweighted mean over benchmarks with at least MACRO_GROUPS questions on either side. Copies of a question weigh as
one within a benchmark and side.

Over guessing: y becomes (y - c) / (1 - c) for the item's baseline c, so that 0 is a guess and 1 is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.gaps.label_error import attenuation_hard
from components.scoring.outcomes import ItemTable, Outcomes
from components.scoring.proportions import Estimate, Means, combine, copy_weights, means

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Record = dict[str, Any]

KINDS = ("pooled", "within_benchmark", "macro")
MACRO_GROUPS = 5
_SURE = 1 - 1e-9  # a baseline that leaves nothing above guessing


@dataclass(frozen=True)
class Sides:
    """Which items count as knowledge and as reasoning; the rest are in neither."""

    knowledge: Mask
    reasoning: Mask

    def within(self, inside: Mask) -> Sides:
        return Sides(self.knowledge & inside, self.reasoning & inside)

    def code(self) -> NDArray[np.int64]:
        """0 knowledge, 1 reasoning, -1 neither."""
        return np.where(self.reasoning, 1, np.where(self.knowledge, 0, -1)).astype(np.int64)


def hard_sides(table: ItemTable, outcomes: Outcomes) -> Sides:
    return Sides(table.mask("knowledge") & outcomes.asked, table.mask("reasoning") & outcomes.asked)


def side_weights(table: ItemTable, sides: Sides) -> tuple[NDArray[np.int64], Array]:
    """Per item the part (side times benchmarks plus benchmark, -1 outside) and the weight of one copy."""
    side = sides.code()
    part = np.where(side >= 0, side * len(table.benchmarks) + table.benchmark, -1)
    return part, copy_weights(table.groups, part)


def gap_records(
    table: ItemTable, key: Record, values: Array, sides: Sides, baseline: Array | None = None, each: bool = True
) -> list[Record]:
    """The gap of every kind over all benchmarks, and (`each`) of each benchmark that holds both sides.

    `baseline`, per item, makes it the gap over guessing; items that a guess always gets are left out.
    """
    if baseline is not None:
        sides = sides.within(baseline < _SURE)
    part, weights = side_weights(table, sides)
    scale = np.ones(len(table)) if baseline is None else 1 / (1 - np.minimum(baseline, _SURE))
    by_part = _Scaled(values, weights, scale, part, table.groups, 2 * len(table.benchmarks))
    records = []
    pooled = _Scaled(values, weights, scale, sides.code(), table.groups, 2).gap(np.array([1.0, -1.0]))
    count = len(table.benchmarks)
    items, groups = by_part.items.reshape(2, count), by_part.means.groups.reshape(2, count)
    both = (items > 0).all(axis=0)
    over_all: dict[str, Estimate | None] = {"pooled": pooled}
    if both.any():
        own = np.where(both, items[0] * items[1] / np.maximum(items.sum(axis=0), 1e-12), 0.0)
        over_all["within_benchmark"] = by_part.weighted(own, least=1 if both.sum() > 1 else 2)
        if (large := both & (groups.min(axis=0) >= MACRO_GROUPS)).any():
            over_all["macro"] = by_part.weighted(large.astype(float))
    for kind in KINDS:
        if (found := over_all.get(kind)) is not None:
            records.append(estimate_record({**key, "benchmark": "all", "kind": kind}, found))
    for b in np.nonzero(both)[0] if each else ():
        found = by_part.weighted((np.arange(count) == b).astype(float))
        if found is not None:
            records.append(
                estimate_record({**key, "benchmark": table.benchmarks[b], "kind": "within_benchmark"}, found)
            )
    return records


def attenuations(table: ItemTable, sides: Sides, truth: Array) -> dict[tuple[str, str], float]:
    """The attenuation factor of a hard gap by (benchmark, kind), from each item's probability of reasoning.

    Empty where an item on either side has none, or where all are certain (experts' labels attenuate nothing).
    """
    part, weights = side_weights(table, sides)
    inside = part >= 0
    own = truth[inside]
    if np.isnan(own).any() or not ((own > 0) & (own < 1)).any():
        return {}
    factors: dict[tuple[str, str], float] = {}
    called = sides.reasoning[inside]
    factors["all", "pooled"] = attenuation_hard(own, called, weights[inside])
    total = mass = 0.0
    large = []
    for b, name in enumerate(table.benchmarks):
        mask = inside & (table.benchmark == b)
        w, c = weights[mask], sides.reasoning[mask]
        factor = attenuation_hard(truth[mask], c, w) if mask.any() else float("nan")
        if np.isnan(factor):
            continue
        factors[name, "within_benchmark"] = factor
        weight = w[c].sum() * w[~c].sum() / w.sum()
        total, mass = total + weight * factor, mass + weight
        if min(len(np.unique(table.groups[mask][side])) for side in (c, ~c)) >= MACRO_GROUPS:
            large.append(factor)
    if mass:
        factors["all", "within_benchmark"] = float(total / mass)
    if large:
        factors["all", "macro"] = float(np.mean(large))
    return {at: factor for at, factor in factors.items() if np.isfinite(factor)}


def raw(gap: Mapping[str, Any]) -> bool:
    """Whether a gap record is in accuracy and not over guessing (files of before had no other)."""
    return gap.get("adjustment", "none") == "none"


class _Scaled:
    """Means per part of (y - c) / (1 - c): 1 - M (1 - mean of y weighted by 1 / (1 - c)), M the mean of 1 / (1 - c)."""

    def __init__(
        self, values: Array, weights: Array, scale: Array, part: NDArray[np.int64], groups: Any, count: int
    ) -> None:
        inside = part >= 0
        self.means: Means = means(values, weights * scale, part, groups, count)
        self.items = np.bincount(part[inside], weights=weights[inside], minlength=count)
        self.scale = self.means.weight / np.maximum(self.items, 1e-300)

    def gap(self, coefficients: Array, least: int = 2) -> Estimate | None:
        if (self.items[coefficients != 0] <= 0).any():
            return None
        constant = float(coefficients @ (1 - np.where(coefficients != 0, self.scale, 0.0)))
        return combine(self.means, coefficients * self.scale, constant, least)

    def weighted(self, weights: Array, least: int = 2) -> Estimate | None:
        """The mean of the benchmarks' gaps by these weights."""
        share = weights / weights.sum()
        return self.gap(np.concatenate([share, -share]), least)


def estimate_record(key: Record, found: Estimate, method: str = "score_sum") -> Record:
    return {
        **key,
        "estimate": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "ci_method": None if found.low is None else method,
        "p": found.p,
    }
