"""What of a gap has no closed interval, by group bootstrap: Kitagawa's split, the matrix correction, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.bootstrap import Block, draw_sums, percentile_interval
from components.scoring.gaps.kitagawa import kitagawa
from components.scoring.gaps.label_error import LEAST_ATTENUATION, gap_bounds
from components.scoring.outcomes import ItemTable

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Record = dict[str, Any]


@dataclass(frozen=True)
class Contrast:
    """Knowledge against reasoning of one model and setting: per item the right answers and, per side, its weight.

    `truth` is the probability that the item takes reasoning (1 or 0 for an expert's label), NaN where nobody knows.
    """

    key: Record
    values: Array
    knowledge: Array
    reasoning: Array
    truth: Array


class Resampled:
    """Sums of every contrast per benchmark, in the data (row 0) and in each bootstrap draw (rows 1..).

    `sums[b]` is (1 + draws) x contrasts x 6: right answers, items and truths of the knowledge side, then of the
    reasoning side.
    """

    def __init__(self, table: ItemTable, contrasts: Sequence[Contrast], seed: int, draws: int) -> None:
        every = [
            column
            for c in contrasts
            for weights in (c.knowledge, c.reasoning)
            for column in (weights * c.values, weights, weights * np.nan_to_num(c.truth))
        ]
        columns, which = _distinct(every)
        groups = _first_benchmark_order(table)
        masks = [table.benchmark == b for b in range(len(table.benchmarks))]
        blocks = [_block(groups[mask], columns[mask]) for mask in masks]
        drawn = draw_sums(blocks, int(groups.max()) + 1, draws, seed)
        self.contrasts = contrasts
        self.sums = [
            np.concatenate([block.columns.sum(axis=0, keepdims=True), d])[:, which].reshape(-1, len(contrasts), 6)
            for block, d in zip(blocks, drawn, strict=True)
        ]
        self._benchmark, self._groups = table.benchmark, groups

    def split(self, place: int) -> list[Record]:
        """Kitagawa's two parts of the pooled gap."""
        sums = np.stack([s[:, place] for s in self.sums])[..., [0, 1, 3, 4]]
        units = self._units(place, None)
        return [
            _record({"benchmark": "all", "kind": f"kitagawa_{name}"}, series, units)
            for name, series in zip(("within", "between"), kitagawa(sums), strict=True)
            if np.isfinite(series[0])
        ]

    def corrected(self, place: int) -> list[Record]:
        """The matrix correction, pooled and within benchmarks: the hard gap over its attenuation factor.

        The factor follows from the classifier's probabilities, which count as calibrated; drawn anew with the items.
        Within benchmarks one gap is supposed for all: the weighted sum of gaps over the weighted sum of factors.
        """
        if not self._known(place):
            return []
        sums = np.stack([s[:, place] for s in self.sums])
        gap, factor = _gaps(sums)
        weight = sums[..., 1] * sums[..., 4] / np.maximum(sums[..., 1] + sums[..., 4], 1e-12)
        found = {"pooled": _gaps(sums.sum(axis=0)), "within_benchmark": (_total(gap, weight), _total(factor, weight))}
        return [
            _record({"benchmark": "all", "kind": kind}, _ratio(*pair), self._units(place, None))
            for kind, pair in found.items()
            if pair[1][0] >= LEAST_ATTENUATION
        ]

    def bounds(self, place: int, benchmark: int | None) -> Record:
        """Outer limits of the gap without any assumption on the error, with 95 % sampling error of each limit."""
        names = ("bound_low", "bound_high")
        if not self._known(place):
            return dict.fromkeys(names)
        own = [s[:, place] for s in self.sums] if benchmark is None else [self.sums[benchmark][:, place]]
        sums = np.sum(own, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            right, true = (tuple(sums[:, at + side] / sums[:, 1 + side] for side in (0, 3)) for at in (0, 2))
            low, high = gap_bounds(sums[:, 4] / (sums[:, 1] + sums[:, 4]), right, true)  # type: ignore[arg-type]
        units = self._units(place, benchmark)
        ends = percentile_interval(low[1:], units)[0], percentile_interval(high[1:], units)[1]
        return dict(zip(names, (_within_one(end) for end in ends), strict=True))

    def _known(self, place: int) -> bool:
        """Whether every item's truth has a probability, and not all are certain."""
        c = self.contrasts[place]
        truth = c.truth[(c.knowledge + c.reasoning) > 0]
        return len(truth) > 0 and not np.isnan(truth).any() and bool(((truth > 0) & (truth < 1)).any())

    def _units(self, place: int, benchmark: int | None) -> int:
        """How many groups the scarcer side has, for the small-sample width of an interval."""
        inside = self._benchmark == benchmark if benchmark is not None else np.ones(len(self._groups), dtype=bool)
        sides = (self.contrasts[place].knowledge, self.contrasts[place].reasoning)
        return min(int((np.bincount(self._groups[inside & (side > 0)]) > 0).sum()) for side in sides)


def _gaps(sums: Array) -> tuple[Array, Array]:
    """The gap and its attenuation factor of (..., 6) sums; NaN where a side is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[..., 0] / sums[..., 1] - sums[..., 3] / sums[..., 4]
        return gap, sums[..., 5] / sums[..., 4] - sums[..., 2] / sums[..., 1]


def _total(series: Array, weights: Array) -> Array:
    """Weighted mean over benchmarks (axis 0); one that lost a side in a draw is left out of that draw."""
    weights = np.where(np.isfinite(series), weights, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((np.nan_to_num(series) * weights).sum(axis=0) / weights.sum(axis=0))


def _ratio(gap: Array, factor: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(factor > LEAST_ATTENUATION / 2, gap / factor, np.nan)


def _record(key: Record, series: Array, units: int) -> Record:
    low, high = percentile_interval(series[1:], units)
    return {**key, "estimate": float(series[0]), "ci_low": low, "ci_high": high, "ci_method": "bootstrap", "p": None}


def _within_one(end: float | None) -> float | None:
    return None if end is None else min(1.0, max(-1.0, end))


def _block(groups: NDArray[np.int64], columns: Array) -> Block:
    members, places = np.unique(groups, return_inverse=True)
    return Block(members, np.stack([np.bincount(places, weights=c) for c in columns.T], axis=1))


def _distinct(columns: Sequence[Array]) -> tuple[Array, list[int]]:
    """The different ones among `columns` (settings share their weights), and which of them each one is."""
    places: dict[bytes, int] = {}
    which = [places.setdefault(column.tobytes(), len(places)) for column in columns]
    return np.stack([columns[which.index(place)] for place in range(len(places))], axis=1), which


def _first_benchmark_order(table: ItemTable) -> NDArray[np.int64]:
    """Group numbers renamed so that those of one benchmark are consecutive (their draws are then a plain slice)."""
    _, first = np.unique(table.groups, return_index=True)
    order = np.lexsort((np.arange(len(first)), table.benchmark[first]))
    rename = np.empty(len(first), dtype=np.int64)
    rename[order] = np.arange(len(first))
    return rename[np.searchsorted(np.unique(table.groups), table.groups)]
