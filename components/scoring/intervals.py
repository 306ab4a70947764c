"""Intervals and tests whose unit is the question group: copies of one question are one observation.

`values` and `groups` are arrays with one entry per item; `groups` holds non-negative group numbers. Fractions
throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.scoring.proportions import combine, means

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """A confidence interval and the name of the method that gave it."""

    low: float
    high: float
    method: str


def normal_quantile(p: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(p))


def t_quantile(p: float, df: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, p))


def wilson(successes: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion of `n` > 0 trials (Wilson 1927, JASA 22:209)."""
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(p * (1 - p) / n + z * z / (4 * n * n), 0.0))
    return max(0.0, centre - half), min(1.0, centre + half)


def group_sums(values: Array, groups: Codes) -> tuple[Array, Array]:
    """Per group that occurs: the sum of its values and how many it has."""
    sizes = np.bincount(groups).astype(np.float64)
    present = sizes > 0
    return np.bincount(groups, weights=values)[present].astype(np.float64), sizes[present]


def robust_se(sums: Array, sizes: Array) -> float:
    """Standard error of the mean of all items, group-robust (the ratio estimator's; Cochran 1977, ch. 6 and 9A).

    The residual of a group is sum - mean * size; with one item per group this is the usual s / sqrt(n). NaN for fewer
    than two groups.
    """
    g, n = len(sums), float(sizes.sum())
    if g < 2:
        return math.nan
    residuals = sums - sums.sum() / n * sizes
    return math.sqrt(g / (g - 1) * float(residuals @ residuals)) / n


def accuracy_interval(
    values: Array, groups: Codes, confidence: float = CONFIDENCE, weights: Array | None = None
) -> Interval | None:
    """Interval of the mean of `values` (0..1), weighted by `weights` where given; None without values.

    Groups of equal weight, each all right or all wrong: Wilson on their number. Otherwise the group-robust standard
    error (`proportions.means`) in Wilson's form, with the effective sample size p(1-p)/se^2 and Student's t (Dean and
    Pagano 2015, J. Survey Stat. Methodol. 3:484), which unlike p +- t*se stays inside 0..1 and covers near the ends.
    Where that error says nothing (all or none right): Wilson on the (effective) number of groups.
    """
    if len(values) == 0:
        return None
    one = np.zeros(len(values), dtype=np.int64)
    found = means(values, np.ones(len(values)) if weights is None else weights, one, groups, 1)
    p, g, se = float(found.mean[0]), int(found.groups[0]), math.sqrt(found.variance[0]) if found.groups[0] > 1 else 0.0
    z = normal_quantile(0.5 + confidence / 2)
    if found.binary[0] and (weights is not None or g == len(values)):
        return Interval(*wilson(p * g, g, z), "wilson")
    if not se > 1e-12 or not 0 < p < 1:
        size = float(found.kish[0])
        return Interval(*wilson(p * size, size, z), "wilson_groups")
    n = p * (1 - p) / se**2
    return Interval(*wilson(p * n, n, t_quantile(0.5 + confidence / 2, g - 1)), "group_robust")


def macro_interval(
    values: Array, groups: Codes, parts: Codes, confidence: float = CONFIDENCE, weights: Array | None = None
) -> Interval | None:
    """Interval of the unweighted mean of the parts' means (parts = benchmarks); None where a part has one group.

    The parts' own score variances are summed (`proportions.combine`): a part of three questions that were all right
    is not a part without error. A group that has items in several parts (the same stem in two benchmarks) is still
    one observation.
    """
    if len(values) == 0:
        return None
    count = int(parts.max()) + 1
    found = means(values, np.ones(len(values)) if weights is None else weights, parts, groups, count)
    there = found.groups > 0
    estimate = combine(found, np.where(there, 1.0 / there.sum(), 0.0), confidence=confidence)
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return Interval(max(0.0, estimate.low), min(1.0, estimate.high), "score_sum")


def sign_flip_p(candidate: Array, baseline: Array, groups: Codes, draws: int = 10_000, seed: int = 0) -> float:
    """One-sided group sign-flip permutation p of "the candidate is not better" (Fisher's; sides swapped per group).

    Under equality each group's summed difference is as likely to have either sign. The observed arrangement counts as
    one of the draws, so p is never 0.
    """
    difference = candidate - baseline
    both = ~np.isnan(difference)
    if not both.any():
        return 1.0
    sums = group_sums(difference[both], groups[both])[0]
    sums = sums[np.abs(sums) > 1e-12].astype(np.float32)
    rng = np.random.default_rng(seed)
    reached, block = 0, 1000
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        signs = rng.integers(0, 2, size=(rows, len(sums)), dtype=np.int8).astype(np.float32) * 2 - 1
        reached += int((signs @ sums >= sums.sum() - 1e-4).sum())
    return (reached + 1) / (draws + 1)


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided exact McNemar p from the discordant counts; only for cells where every group has one item."""
    from scipy.special import bdtr

    if gained + lost == 0:
        return 1.0
    return float(min(1.0, 2 * bdtr(min(gained, lost), gained + lost, 0.5)))
