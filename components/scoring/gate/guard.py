"""The guard against a loss that averages hide: one benchmark, or one value of a column, that gets clearly worse.

Every benchmark and every value of the columns that the recipe names is tested for a loss, on plain answers and on the
mean of the adversarial ones; p values are adjusted for their number by Holm's method (1979, Scand. J. Stat. 6:65). The
gate refuses where a loss is shown at GUARD_ALPHA after the adjustment and its estimate lies beyond `benchmark_margin`.

So a candidate that is truly equal everywhere is refused by this rule at most 5 % of the time, at every look, however
many cells are tested; a loss of 20 points on 1,000 questions practically always is. The rule does not ask that a loss
be excluded: small benchmarks could exclude nothing, and where a large one could, it would also show the loss. Cells
with fewer than MIN_GROUPS question groups cannot show anything and are left out, which keeps the adjustment small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.scoring.gate.paired import Paired, paired
from components.scoring.intervals import Array, Codes
from components.scoring.outcomes import ADVERSARIAL, ItemTable, Outcomes
from components.scoring.slices import Slices

GUARD_ALPHA = 0.05
MIN_GROUPS = 10
GUARDED = ("plain", ADVERSARIAL)

Cell = dict[str, Any]


def guard_cells(
    table: ItemTable, old: Mapping[str, Outcomes], new: Mapping[str, Outcomes], slices: Slices, margin: float
) -> list[Cell]:
    """A record per column, value and setting that both models answered, the most suspicious first.

    `p` is one-sided ("no loss"), `p_holm` adjusted for all records; `lost` says that the record refuses.
    `ci_low` and `ci_high` are one-sided bounds at GUARD_ALPHA / number of records.
    """
    benchmarks: list[str | None] = [table.benchmarks[code] for code in table.benchmark]
    names: list[tuple[str, str, str]] = []
    pairs: list[Paired] = []
    for column, values in {"dataset_name": benchmarks, **slices}.items():
        labels = np.array(["" if value is None else value for value in values])
        known = np.array([value is not None for value in values])
        for value in sorted(set(labels[known])):
            mask = known & (labels == value)
            for setting in GUARDED:
                found = _pair(old.get(setting), new.get(setting), table.groups, mask)
                if found is not None and found.groups >= MIN_GROUPS:
                    names.append((column, str(value), setting))
                    pairs.append(found)
    losses = np.array([found.swapped().p_above(0.0) for found in pairs])
    cells = [
        _cell(name, found, float(p), float(adjusted), len(pairs), margin)
        for name, found, p, adjusted in zip(names, pairs, losses, holm(losses), strict=True)
    ]
    return sorted(cells, key=lambda cell: (not cell["lost"], cell["p_holm"], cell["estimate"]))


def holm(p: Array) -> Array:
    """Holm's step-down adjustment: adjusted p values in the order given."""
    order = np.argsort(p, kind="stable")
    scaled = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(scaled)
    return adjusted


def _pair(old: Outcomes | None, new: Outcomes | None, groups: Codes, mask: Any) -> Paired | None:
    if old is None or new is None:
        return None
    return paired(new.correct[mask], old.correct[mask], groups[mask])


def _cell(name: tuple[str, str, str], found: Paired, p: float, adjusted: float, tests: int, margin: float) -> Cell:
    column, value, setting = name
    lost = adjusted <= GUARD_ALPHA and found.estimate <= -margin
    return {
        "column": column,
        "value": value,
        "setting": setting,
        "n": found.n,
        "groups": found.groups,
        "estimate": found.estimate,
        "ci_low": found.lower(GUARD_ALPHA / tests),
        "ci_high": found.upper(GUARD_ALPHA / tests),
        "p": p,
        "p_holm": adjusted,
        "lost": bool(lost),
    }
