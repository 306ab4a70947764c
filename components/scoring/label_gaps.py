"""Gaps by more than the classifier's calls: its probabilities, experts' labels, and labels of a drawn subsample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.label_error import slope_gap
from components.scoring.labelled import Subsample, labelled_gap
from components.scoring.outcomes import ItemTable, Outcomes
from components.scoring.proportions import Estimate, copy_weights, quantile, two_sided_p
from components.scoring.strata_gaps import Sides, estimate_record, gap_records, hard_sides, side_weights

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Record = dict[str, Any]


def slope_records(table: ItemTable, key: Record, outcomes: Outcomes, baseline: Array | None) -> list[Record]:
    """By the slope of correctness on the probability; over guessing where a `baseline` per item is given."""
    scored = outcomes.asked & ~np.isnan(table.prob)
    values, prob = np.nan_to_num(outcomes.correct), np.nan_to_num(table.prob)
    if baseline is not None:
        scored &= baseline < 1
        values = np.where(scored, (values - baseline) / np.where(scored, 1 - baseline, 1.0), 0.0)
    weights = copy_weights(table.groups, np.where(scored, table.benchmark, -1))

    def slope(inside: Mask, parts: Codes) -> Estimate | None:
        return slope_gap(values, prob, np.where(inside, weights, 0.0), table.groups, parts)

    return _by_place(table, key, scored, slope)


def expert_records(
    table: ItemTable, key: Record, outcomes: Outcomes, baselines: Mapping[str, Array | None]
) -> list[Record]:
    """By the experts' labels; and how far the classifier's gap on the same items is from theirs."""
    if table.expert is None or np.isnan(table.expert).all():
        return []
    values = np.nan_to_num(outcomes.correct)
    sides = Sides(table.expert == 0, table.expert == 1).within(outcomes.asked)
    records = []
    for name in ("none", "chance"):
        if name in baselines:
            own = {**key, "weighting": "expert", "adjustment": name}
            records += gap_records(table, own, values, sides, baselines[name])
    called = hard_sides(table, outcomes).within(~np.isnan(table.expert))
    if (called.code() == sides.code()).all() or not called.knowledge.any() or not called.reasoning.any():
        return records
    own = {**key, "weighting": "hard_minus_expert", "adjustment": "none"}

    def difference(inside: Mask, _: Codes) -> Estimate | None:
        first, second = (_linearised(table, s.within(inside), values) for s in (called, sides))
        if first is None or second is None:
            return None
        influence = first[1] - second[1]
        count = len(np.unique(table.groups[inside]))
        se = float(np.sqrt(count / max(count - 1, 1) * (influence @ influence)))
        value, half = first[0] - second[0], quantile(0.975, max(count - 1, 1)) * se
        return Estimate(value, value - half, value + half, count - 1, two_sided_p(value / se, count - 1) if se else 1.0)

    found = _by_place(table, own, sides.code() >= 0, difference)
    return records + [r for r in found if (r["benchmark"], r["kind"]) != ("all", "within_benchmark")]


def _linearised(table: ItemTable, sides: Sides, values: Array) -> tuple[float, Array] | None:
    """The pooled gap and each group's influence on it."""
    weights = side_weights(table, sides)[1]
    gap, influence = 0.0, np.zeros(len(table))
    for sign, side in ((1.0, sides.knowledge), (-1.0, sides.reasoning)):
        own = np.where(side, weights, 0.0)
        if not own.any():
            return None
        mean = float(own @ values / own.sum())
        gap, influence = gap + sign * mean, influence + sign * own * (values - mean) / own.sum()
    return gap, np.bincount(table.groups, weights=influence).astype(np.float64)


def drawn_records(table: ItemTable, key: Record, outcomes: Outcomes) -> list[Record]:
    """From items of which some were drawn for labelling; those that experts had labelled before count as certain."""
    if table.drawn is None or table.expert is None or np.isnan(table.drawn).all():
        return []
    frame = outcomes.asked & ~(np.isnan(table.drawn) & np.isnan(table.expert))
    sample = Subsample(np.nan_to_num(table.prob, nan=0.5), table.expert, np.nan_to_num(table.drawn, nan=1.0))
    weights = copy_weights(table.groups, np.where(frame, table.benchmark, -1))
    values = np.nan_to_num(outcomes.correct)

    def gap(inside: Mask, parts: Codes) -> Estimate | None:
        return labelled_gap(values, sample, np.where(inside, weights, 0.0), table.groups, parts)

    return _by_place(table, {**key, "weighting": "dsl", "adjustment": "none"}, frame, gap)


def _by_place(
    table: ItemTable, key: Record, inside: Mask, estimate: Callable[[Mask, Codes], Estimate | None]
) -> list[Record]:
    """Records of `estimate(items, parts)` pooled, within benchmarks, and of each benchmark."""
    one = np.zeros(len(table), dtype=np.int64)
    places = [("all", "pooled", inside, one), ("all", "within_benchmark", inside, table.benchmark)]
    for code, name in enumerate(table.benchmarks):
        places.append((name, "within_benchmark", inside & (table.benchmark == code), one))
    found = [
        ({**key, "benchmark": name, "kind": kind}, estimate(mask, parts))
        for name, kind, mask, parts in places
        if mask.any()
    ]
    return [estimate_record(own, e, "group_robust") for own, e in found if e is not None]
