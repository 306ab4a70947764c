"""How many question groups a rule of the gate needs before identical (or silent-free) answers can pass it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from components.scoring.gate.paired import Paired
from components.scoring.intervals import normal_quantile


@lru_cache(maxsize=256)
def groups_for_equal(level: float, margin: float) -> int | None:
    """The fewest groups on which identical answers show that the candidate is not worse by `margin`.

    None at level 0. Above them identical answers pass; below them only a gain without losses might.
    """
    if not level > 0:
        return None
    n = max(2, math.ceil(normal_quantile(1 - level) ** 2 * (1 - margin) / margin))
    while Paired(np.zeros(1), np.array([float(n)]), n, n).p_above(-margin) > level:
        n += 1
    return n


def groups_for_gain(level: float) -> int | None:
    """The fewest groups on which a candidate that gains every one of them is shown to be better."""
    if not level > 0:
        return None
    n = max(2, math.ceil(-math.log2(level)))
    while Paired(np.ones(1), np.array([float(n)]), n, n).p_above(0.0) > level:
        n += 1
    return n


def groups_for_answers(level: float, bound: float) -> int | None:
    """The fewest groups on which a candidate that always answers is shown to leave fewer than `bound` unanswered."""
    if not level > 0:
        return None
    return 1 if bound >= 1 else math.ceil(math.log(level) / math.log1p(-bound))
