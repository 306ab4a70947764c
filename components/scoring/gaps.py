"""Knowledge-reasoning gaps and adversarial drops, each with a group-bootstrap interval.

The gap is knowledge accuracy minus reasoning accuracy; the drop is plain minus adversarial accuracy of the same
items. Pooled over benchmarks the gap also measures which benchmarks hold the reasoning questions, so it is given
within benchmarks too: the mean of each benchmark's own gap, weighted by k r / (k + r) for its k knowledge and r
reasoning items. That is the stratum's coefficient in a linear regression with a term for every benchmark, and
Mantel and Haenszel's weighting; weighted by k + r, a benchmark of 498 and 2 questions would count as one of 500.
The macro gap is the unweighted mean over benchmarks with at least MACRO_GROUPS questions on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.bootstrap import Block, draw_sums, percentile_interval
from components.scoring.outcomes import ADVERSARIAL, SETTINGS, STRATA, Answers, ItemTable, Outcomes

Array = NDArray[np.float64]
Record = dict[str, Any]

WEIGHTINGS = ("hard", "soft")
KINDS = ("pooled", "within_benchmark", "macro")
MACRO_GROUPS = 5
THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))


@dataclass(frozen=True)
class Contrast:
    """A difference of two weighted means: weights and values per item; `units` is how many groups the scarcer side has.

    `first` and `second` are (weights, values), zero-weighted where an item does not belong.
    """

    key: Record
    first: tuple[Array, Array]
    second: tuple[Array, Array]


def gaps_and_drops(
    table: ItemTable, answers: Answers, *, seed: int, draws: int
) -> tuple[list[Record], list[Record], list[Record]]:
    """(gaps, drops, threshold sensitivity) of every model, as records for scores.json."""
    gaps: list[Contrast] = []
    drops: list[Contrast] = []
    shifted: list[Contrast] = []
    for model, settings in answers.items():
        for setting in (*SETTINGS, ADVERSARIAL):
            if setting in settings:
                gaps += _gap_contrasts(table, model, setting, settings[setting])
        if "plain" in settings:
            shifted += _threshold_contrasts(table, model, settings["plain"])
        if "plain" in settings and ADVERSARIAL in settings:
            drops += _drop_contrasts(table, model, settings["plain"], settings[ADVERSARIAL])
    contrasts = [*gaps, *shifted, *drops]
    if not contrasts:
        return [], [], []
    parts = _BenchmarkSums(table, contrasts, seed, draws)
    gap_records = [r for place, c in enumerate(gaps) for r in _gap_records(table, c, parts, place)]
    start = len(gaps)
    sensitivity = [r for p, c in enumerate(shifted, start) for r in _gap_records(table, c, parts, p, KINDS[:2], False)]
    start += len(shifted)
    drop_records = [r for p, c in enumerate(drops, start) for r in _drop_records(table, c, parts, p)]
    return gap_records, drop_records, sensitivity


def _gap_contrasts(table: ItemTable, model: str, setting: str, outcomes: Outcomes) -> list[Contrast]:
    asked = outcomes.asked
    values = np.nan_to_num(outcomes.correct)
    key = {"model": model, "setting": setting}
    contrasts = []
    if table.stratified:
        knowledge, reasoning = (asked & table.mask(s) for s in ("knowledge", "reasoning"))
        contrasts.append(_contrast({**key, "weighting": "hard"}, knowledge, reasoning, values))
    scored = asked & ~np.isnan(table.prob)
    if scored.any():
        prob = np.where(scored, np.nan_to_num(table.prob), 0.0)
        contrasts.append(_contrast({**key, "weighting": "soft"}, np.where(scored, 1 - prob, 0.0), prob, values))
    return contrasts


def _threshold_contrasts(table: ItemTable, model: str, outcomes: Outcomes) -> list[Contrast]:
    """The hard gap again for other thresholds on reasoning_prob: how much it hangs on that one choice."""
    scored = outcomes.asked & ~np.isnan(table.prob)
    values = np.nan_to_num(outcomes.correct)
    contrasts = []
    for threshold in THRESHOLDS if scored.any() else ():
        above = scored & (np.nan_to_num(table.prob) >= threshold)
        share = float(above.sum() / scored.sum())
        if min(above.sum(), (scored & ~above).sum()) >= MACRO_GROUPS:
            key = {"model": model, "setting": "plain", "threshold": threshold, "reasoning_share": share}
            contrasts.append(_contrast(key, scored & ~above, above, values))
    return contrasts


def _drop_contrasts(table: ItemTable, model: str, plain: Outcomes, opened: Outcomes) -> list[Contrast]:
    """Paired: only items that were asked in both."""
    both = plain.asked & opened.asked
    contrasts = []
    for stratum in STRATA if table.stratified else STRATA[:1]:
        weights = (both & table.mask(stratum)).astype(float)
        values = (np.nan_to_num(plain.correct), np.nan_to_num(opened.correct))
        key = {"model": model, "stratum": stratum}
        if weights.any():
            contrasts.append(Contrast(key, (weights, values[0]), (weights, values[1])))
    return contrasts


def _contrast(
    key: Record, first: Array | NDArray[np.bool_], second: Array | NDArray[np.bool_], values: Array
) -> Contrast:
    return Contrast(key, (first.astype(float), values), (second.astype(float), values))


class _BenchmarkSums:
    """Sums of every contrast per benchmark: in the data (row 0) and in each bootstrap draw (rows 1..).

    `sums[b]` is (1 + draws) x contrasts x 4: numerator and denominator of the first mean, then of the second.
    """

    def __init__(self, table: ItemTable, contrasts: Sequence[Contrast], seed: int, draws: int) -> None:
        every = [c for k in contrasts for weights, values in (k.first, k.second) for c in (weights * values, weights)]
        columns, which = _distinct(every)
        self.groups = _first_benchmark_order(table)
        self.sides = [[k.first[0] > 0, k.second[0] > 0] for k in contrasts]
        blocks = [
            self._block(columns[table.benchmark == b], table.benchmark == b) for b in range(len(table.benchmarks))
        ]
        drawn = draw_sums(blocks, int(self.groups.max()) + 1, draws, seed)
        self.sums = [
            np.concatenate([block.columns.sum(axis=0, keepdims=True), d])[:, which].reshape(-1, len(contrasts), 4)
            for block, d in zip(blocks, drawn, strict=True)
        ]

    def _block(self, columns: Array, inside: NDArray[np.bool_]) -> Block:
        members, places = np.unique(self.groups[inside], return_inverse=True)
        sums = np.zeros((len(members), columns.shape[1]))
        np.add.at(sums, places, columns)
        return Block(members, sums)

    def units(self, contrast: int, inside: NDArray[np.bool_]) -> int:
        """How many groups carry the scarcer side of a contrast, for the small-sample width of its interval."""
        return min(int((np.bincount(self.groups[inside & side]) > 0).sum()) for side in self.sides[contrast])


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


def _difference(sums: Array) -> Array:
    """First mean minus second mean of (..., 4) sums; NaN where a denominator is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3])


def _gap_records(
    table: ItemTable,
    contrast: Contrast,
    parts: _BenchmarkSums,
    place: int,
    kinds: Sequence[str] = KINDS,
    each: bool = True,
) -> list[Record]:
    sums = [s[:, place, :] for s in parts.sums]
    everywhere = np.ones(len(table), dtype=bool)
    series = {"pooled": _difference(np.sum(sums, axis=0))}
    own = {b: _difference(s) for b, s in enumerate(sums)}
    have = [b for b, gap in own.items() if np.isfinite(gap[0])]
    if have:
        series["within_benchmark"] = _mean([own[b] for b in have], [_weight(sums[b]) for b in have])
    if large := [b for b in have if parts.units(place, table.benchmark == b) >= MACRO_GROUPS]:
        series["macro"] = _mean([own[b] for b in large], [np.ones_like(own[b]) for b in large])
    records = [
        _record({**contrast.key, "benchmark": "all", "kind": kind}, series[kind], parts.units(place, everywhere))
        for kind in kinds
        if kind in series and np.isfinite(series[kind][0])
    ]
    for b in have if each else ():
        key = {**contrast.key, "benchmark": table.benchmarks[b], "kind": "within_benchmark"}
        records.append(_record(key, own[b], parts.units(place, table.benchmark == b)))
    return records


def _drop_records(table: ItemTable, contrast: Contrast, parts: _BenchmarkSums, place: int) -> list[Record]:
    sums = [s[:, place, :] for s in parts.sums]
    everywhere = np.ones(len(table), dtype=bool)
    own = {b: _difference(s) for b, s in enumerate(sums)}
    have = [b for b, drop in own.items() if np.isfinite(drop[0])]
    macro = _mean([own[b] for b in have], [np.ones_like(own[b]) for b in have])
    units = parts.units(place, everywhere)
    return [
        _record({**contrast.key, "benchmark": "all"}, _difference(np.sum(sums, axis=0)), units),
        _record({**contrast.key, "benchmark": "macro"}, macro, units),
        *(
            _record(
                {**contrast.key, "benchmark": table.benchmarks[b]}, own[b], parts.units(place, table.benchmark == b)
            )
            for b in have
        ),
    ]


def _weight(sums: Array) -> Array:
    """k r / (k + r) of a benchmark, from its summed weights on either side; 0 where one is empty."""
    k, r = sums[..., 1], sums[..., 3]
    return np.asarray(k * r / np.maximum(k + r, 1e-12))


def _mean(series: Sequence[Array], weighing: Sequence[Array]) -> Array:
    """Weighted mean over benchmarks; a draw in which a benchmark lost one side leaves that benchmark out."""
    gaps = np.stack(series)
    weights = np.where(np.isfinite(gaps), np.stack(weighing), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((np.nan_to_num(gaps) * weights).sum(axis=0) / weights.sum(axis=0))


def _record(key: Record, series: Array, units: int) -> Record:
    low, high = percentile_interval(series[1:], units)
    return {**key, "estimate": float(series[0]), "ci_low": low, "ci_high": high}
