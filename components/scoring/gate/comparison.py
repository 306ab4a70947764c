"""Two models side by side in every cell that the gate looks at, by three tests that ought to agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.scoring.bootstrap import DRAWS
from components.scoring.gate.decide import Side
from components.scoring.gate.paired import paired
from components.scoring.intervals import CONFIDENCE, Array, Codes, mcnemar_exact, sign_flip_p
from components.scoring.outcomes import ADVERSARIAL, STRATA, ItemTable

COMPARED = ("plain", ADVERSARIAL)


def comparisons(
    table: ItemTable, old: Side, new: Side, level: float, *, seed: int = 0, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """A record per setting and stratum: the paired difference (candidate minus baseline) with its 95 % interval.

    p values are two-sided: `p` by the score test on groups (scoring/gate/paired.py), `p_sign_flip` by permuting groups,
    `p_mcnemar` exact and only where every group has one item (null elsewhere: copies of a question would each count).
    `detectable` is the gain that a one-sided test at `level` finds four times in five. Cells that one side was not
    asked are left out.
    """
    records = []
    for setting in COMPARED:
        for stratum in STRATA if table.stratified else STRATA[:1]:
            if setting not in old or setting not in new:
                continue
            mask = table.mask(stratum)
            values = new[setting].correct[mask], old[setting].correct[mask]
            found = _record(*values, table.groups[mask], level, seed, draws)
            if found is not None:
                records.append({"setting": setting, "stratum": stratum, **found})
    return records


def _record(new: Array, old: Array, groups: Codes, level: float, seed: int, draws: int) -> dict[str, Any] | None:
    found = paired(new, old, groups)
    if found is None or found.groups < 2:
        return None
    tail = (1 - CONFIDENCE) / 2
    better, worse = (sign_flip_p(*sides, groups, draws, seed) for sides in ((new, old), (old, new)))
    detectable = found.detectable(level)
    return {
        "n": found.n,
        "groups": found.groups,
        "estimate": found.estimate,
        "ci_low": found.lower(tail),
        "ci_high": found.upper(tail),
        "p": min(1.0, 2 * min(found.p_above(0.0), found.swapped().p_above(0.0))),
        "p_sign_flip": min(1.0, 2 * min(better, worse)),
        "p_mcnemar": _mcnemar(new, old, groups),
        "detectable": detectable if detectable > 0 else None,
    }


def _mcnemar(new: Array, old: Array, groups: Codes) -> float | None:
    difference = new - old
    both = ~np.isnan(difference)
    if both.sum() != len(np.unique(groups[both])) or not np.isin(difference[both], (-1.0, 0.0, 1.0)).all():
        return None
    return mcnemar_exact(int((difference == 1).sum()), int((difference == -1).sum()))
