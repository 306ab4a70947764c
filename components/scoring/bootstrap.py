"""Group bootstrap: whole question groups are drawn with replacement, ratios are recomputed in every draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from components.scoring.intervals import CONFIDENCE, t_quantile

DRAWS = 10_000
_BLOCK = 250  # draws at a time: 250 x 12,000 weights are 12 MB
_STEPS = 65_536


@dataclass(frozen=True)
class Block:
    """Sums per group, `columns` (members x K), of the groups `members` (their numbers, ascending)."""

    members: NDArray[np.int64]
    columns: NDArray[np.float64]


def draw_sums(blocks: Sequence[Block], groups: int, draws: int, seed: int) -> list[NDArray[np.float64]]:
    """For each block, the K column sums in every draw (draws x K); all blocks see the same draws.

    A group's multiplicity is Poisson(1) instead of multinomial: independent per group, hence one matrix product
    (Hanley and MacGibbon 2006, Comput. Methods Programs Biomed. 83:57). The number of groups then varies from draw to
    draw, which ratios do not notice.
    """
    table = _poisson_table()
    rng = np.random.Generator(np.random.SFC64(seed))
    members = [_span(block.members) for block in blocks]
    columns = [np.ascontiguousarray(block.columns, dtype=np.float32) for block in blocks]
    sums = [np.empty((draws, block.columns.shape[1]), dtype=np.float64) for block in blocks]
    for start in range(0, draws, _BLOCK):
        stop = min(draws, start + _BLOCK)
        uniform = np.frombuffer(rng.bytes(2 * groups * (stop - start)), dtype="<u2")
        weights = table[uniform].reshape(stop - start, groups)
        for into, span, values in zip(sums, members, columns, strict=True):
            into[start:stop] = weights[:, span] @ values
    return sums


@lru_cache(maxsize=1)
def _poisson_table() -> NDArray[np.float32]:
    """Poisson(1) multiplicity for each of 65,536 equally likely steps (inverse distribution function)."""
    share = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(12)])
    return np.searchsorted(share, (np.arange(_STEPS) + 0.5) / _STEPS).astype(np.float32)


def _span(members: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """A slice where the numbers are consecutive: numpy then copies nothing."""
    if len(members) and members[-1] - members[0] + 1 == len(members):
        return slice(int(members[0]), int(members[-1]) + 1)
    return members


def percentile_interval(
    draws: NDArray[np.float64], groups: int, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """The expanded percentile interval of bootstrap draws (Hesterberg 2015, Am. Stat. 69:371), for `groups` units.

    Percentiles are widened as t is wider than the normal, and for the bootstrap's (n-1)/n variance. (None, None) when
    there are fewer than two units or more than one draw in twenty is undefined (an empty denominator).
    """
    if groups < 2 or len(draws) == 0:
        return None, None
    defined = draws[np.isfinite(draws)]
    if len(defined) < 0.95 * len(draws):
        return None, None
    tail = normal_cdf(math.sqrt(groups / (groups - 1)) * t_quantile((1 - confidence) / 2, groups - 1))
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
