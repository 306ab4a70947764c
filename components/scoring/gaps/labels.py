"""Gaps by more than the classifier's calls: its probabilities, experts' labels, and labels of a drawn subsample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.scoring.gaps.label_error import Linearised, slope_gap, stratum_gap
from components.scoring.gaps.labelled import Subsample, labelled_gap
from components.scoring.gaps.strata import Sides, estimate_record, gap_records, hard_sides, side_weights
from components.scoring.outcomes import ItemTable, Outcomes
from components.scoring.proportions import Estimate, copy_weights

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
        found = slope_gap(values, prob, np.where(inside, weights, 0.0), table.groups, parts)
        return found.estimate() if found else None

    return _by_place(table, key, scored, slope)


def expert_records(
    table: ItemTable, key: Record, outcomes: Outcomes, baselines: Mapping[str, Array | None]
) -> list[Record]:
    """By the experts' labels; and how far the classifier's gap on the same items is from theirs.

    Items drawn for labelling are not among them: they stand for others, and unequally many (`drawn_records`).
    """
    if table.expert is None:
        return []
    values = np.nan_to_num(outcomes.correct)
    whole = outcomes.asked if table.drawn is None else outcomes.asked & np.isnan(table.drawn)
    sides = Sides(table.expert == 0, table.expert == 1).within(whole)
    if (sides.code() < 0).all():
        return []
    records = []
    for name in ("none", "chance"):
        if name in baselines:
            own = {**key, "weighting": "expert", "adjustment": name}
            records += gap_records(table, own, values, sides, baselines[name])
    return records + _beside_experts(table, key, outcomes, sides)


def _beside_experts(table: ItemTable, key: Record, outcomes: Outcomes, experts: Sides) -> list[Record]:
    """The classifier's gap, hard and as a slope, less the experts' on the same items.

    The second tests what the slope supposes: errors that do not depend on the answers, and calibrated probabilities.
    """
    values, prob = np.nan_to_num(outcomes.correct), np.nan_to_num(table.prob)
    labelled = experts.code() >= 0
    called = hard_sides(table, outcomes).within(labelled)

    def by_calls(sides: Sides, inside: Mask) -> Linearised | None:
        own = sides.within(inside)
        weights = side_weights(table, own)[1]
        knowledge, reasoning = (np.where(side, weights, 0.0) for side in (own.knowledge, own.reasoning))
        return stratum_gap(values, knowledge, reasoning, table.groups)

    def hard(inside: Mask, _: Codes) -> Estimate | None:
        first, second = by_calls(called, inside), by_calls(experts, inside)
        return first.minus(second).estimate() if first and second else None

    def slope(inside: Mask, parts: Codes) -> Estimate | None:
        weights = copy_weights(table.groups, np.where(inside, table.benchmark, -1))
        first, second = slope_gap(values, prob, weights, table.groups, parts), by_calls(experts, inside)
        return first.minus(second).estimate() if first and second else None

    found = []
    if not np.array_equal(called.code(), experts.code()):
        found += _by_place(table, {**key, "weighting": "hard_minus_expert", "adjustment": "none"}, labelled, hard)
    if not np.isnan(table.prob[labelled]).any():
        found += _by_place(table, {**key, "weighting": "slope_minus_expert", "adjustment": "none"}, labelled, slope)
    return [r for r in found if (r["benchmark"], r["kind"]) != ("all", "within_benchmark")]


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
