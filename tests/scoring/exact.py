"""Which tables the paired test rejects, all at once: for exact type I errors by enumeration."""

from __future__ import annotations

import numpy as np
from scipy import special

from components.scoring.gate.paired import EXACT_GROUPS, exact_p, tail_probability, tango_z
from components.scoring.intervals import normal_quantile


def counts(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gained (columns), lost (rows) and which of the tables exist, for all tables of n groups."""
    count = np.arange(n + 1)
    return count[None, :], count[:, None], count[:, None] + count[None, :] <= n


def rejected(n: int, bound: float, level: float) -> np.ndarray:
    """True where Paired.p_above(bound) <= level, by the same functions (test_paired checks that on small n)."""
    gained, lost, exists = counts(n)
    z = np.where(exists, tango_z(gained, lost, n, bound), -np.inf)
    reach = z >= -normal_quantile(level)
    if bound == 0:
        return reach & (special.bdtr(lost, np.maximum(gained + lost, 1), 0.5) <= level)
    if n > EXACT_GROUPS or not reach.any():
        return reach
    # The exact tail falls as the statistic rises: the first table in that order that is rejected tells all.
    tables = np.argwhere(reach)
    order = tables[np.argsort(z[reach], kind="stable")]
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if exact_p(int(order[middle][1]), int(order[middle][0]), n, bound) <= level:
            high = middle
        else:
            low = middle + 1
    if low == len(order):
        return np.zeros_like(reach)
    return reach & (z >= z[tuple(order[low])] - 1e-9)


def error(n: int, bound: float, level: float, gains: np.ndarray) -> np.ndarray:
    """P(rejection) where the truth lies at the bound, for each share of gained answers."""
    reach = rejected(n, bound, level)
    first = np.where(reach.any(axis=1), reach.argmax(axis=1), n + 1)
    feasible = gains[gains - bound >= 0]
    return tail_probability(first, n, feasible - bound, feasible)
