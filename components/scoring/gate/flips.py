"""Which answers flipped between two models, and whether the two are equivalent: for a quantised or distilled copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.questions.askings import SETTINGS
from components.scoring.gate.paired import Paired, paired
from components.scoring.intervals import Array, Codes, group_sums, mcnemar_exact
from components.scoring.outcomes import ADVERSARIAL, HALF, STRATA, ItemTable, Outcomes

Side = Mapping[str, Outcomes]


def equivalence(table: ItemTable, old: Side, new: Side, margin: float, level: float) -> dict[str, Any]:
    """Whether the candidate differs from the baseline by less than `margin` (a fraction) in every cell.

    Two one-sided score tests per cell, each at `level` (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657); all must
    hold, so the whole errs at most as often as one. Cells are knowledge and reasoning (all items where there are no
    strata), plain and, where both sides were asked so, adversarial. `p` is the larger one of a cell; `ci_low` and
    `ci_high` are one-sided bounds at `level`. Without a cell nothing is equivalent.
    """
    cells = []
    for setting in ("plain", ADVERSARIAL):
        if setting not in old or setting not in new:
            continue
        for stratum in STRATA[1:] if table.stratified else STRATA[:1]:
            mask = table.mask(stratum)
            found = paired(new[setting].correct[mask], old[setting].correct[mask], table.groups[mask])
            if found is not None:
                cells.append({"setting": setting, "stratum": stratum, **_both_sides(found, margin, level)})
    equal = bool(cells) and all(cell["equivalent"] for cell in cells)
    return {"margin": margin, "level": level, "equivalent": equal, "cells": cells}


def _both_sides(found: Paired, margin: float, level: float) -> dict[str, Any]:
    p = max(found.p_above(-margin), found.swapped().p_above(-margin))
    return {
        "n": found.n,
        "groups": found.groups,
        "estimate": found.estimate,
        "ci_low": found.lower(level, -margin),
        "ci_high": found.upper(level, margin),
        "p": p,
        "equivalent": p <= level,
    }


def flips(table: ItemTable, old: Side, new: Side) -> list[dict[str, Any]]:
    """Right answers that became wrong and wrong ones that became right: per setting, stratum and benchmark.

    Counts are of items; of several samples, more than half right is right and less than half wrong. `p_mcnemar` is
    McNemar's exact two-sided p over question groups (a group counts as lost where more of its items were lost than
    gained), so that copies of a question count once. Cells without items that both models answered are left out.
    """
    records = []
    everything = np.ones(len(table), dtype=bool)
    parts = [("all", everything)] + [(name, table.benchmark == code) for code, name in enumerate(table.benchmarks)]
    for setting in SETTINGS:
        if setting not in old or setting not in new:
            continue
        for stratum in STRATA if table.stratified else STRATA[:1]:
            for benchmark, part in parts:
                mask = table.mask(stratum) & part
                found = _flipped(old[setting].correct[mask], new[setting].correct[mask], table.groups[mask])
                if found:
                    records.append({"setting": setting, "stratum": stratum, "benchmark": benchmark, **found})
    return records


def _flipped(old: Array, new: Array, groups: Codes) -> dict[str, Any]:
    both = ~np.isnan(new - old)
    if not both.any():
        return {}
    lost, gained = (old > HALF) & (new < HALF), (old < HALF) & (new > HALF)
    sums = group_sums((gained.astype(float) - lost)[both], groups[both])[0]
    return {
        "n": int(both.sum()),
        "groups": len(sums),
        "right_to_wrong": int(lost.sum()),
        "wrong_to_right": int(gained.sum()),
        "p_mcnemar": mcnemar_exact(int((sums > 0).sum()), int((sums < 0).sum())),
    }
