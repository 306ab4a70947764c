"""The weighted share of items, with its interval as fields of a record: for samples and positions alike."""

from __future__ import annotations

from typing import Any

from components.scoring.intervals import Array, Codes, accuracy_interval

Record = dict[str, Any]
TAIL = 0.025  # of a bound, on each side


def weighted(values: Array, weights: Array) -> float:
    return float(values @ weights / weights.sum())


def with_interval(name: str, values: Array, groups: Codes, weights: Array) -> Record:
    """`name`, `name_low` and `name_high`: the mean of `values` (0..1) and its 95 % interval by question group."""
    found = accuracy_interval(values, groups, weights=weights)
    return {
        name: weighted(values, weights),
        f"{name}_low": found.low if found else None,
        f"{name}_high": found.high if found else None,
    }
