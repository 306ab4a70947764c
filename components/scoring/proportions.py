"""Weighted means of 0..1 values per part (benchmark, stratum), and score intervals of any sum of them.

A sum such as "knowledge minus reasoning" or "mean of eleven benchmarks" gets its interval from the score limits of its
parts (MOVER: Zou and Donner 2008, Stat. Med. 27:1693; for a difference of two it is Newcombe's hybrid score interval,
1998, Stat. Med. 17:873). It has no width of zero where a part is all right or all wrong, and it needs no draws. Sizes
are effective ones: copies of a question are one observation, and a group's residual is what varies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

CONFIDENCE = 0.95
_Z95 = 1.959963984540054
_TINY = 1e-9
# Shared groups may cancel a difference, but never leave it without any width.
_LEAST = 0.05


def copy_weights(groups: Codes, parts: Codes) -> Array:
    """1 / (how many items of the same part share the group): a question and its copies weigh as one.

    Items of part -1 get weight 0.
    """
    pair = parts * (int(groups.max(initial=0)) + 1) + groups
    inside = parts >= 0
    weights = np.zeros(len(groups))
    _, place, sizes = np.unique(pair[inside], return_inverse=True, return_counts=True)
    weights[inside] = 1.0 / sizes[place]
    return weights


@dataclass(frozen=True)
class Means:
    """The weighted mean of each of K parts; arrays of length K, and below them one entry per (part, group)."""

    mean: Array  # NaN for a part without items
    weight: Array  # sum of weights
    groups: Codes  # how many groups it has
    size: Array  # effective number of observations, for Wilson's formula
    df: Array  # groups less one: how well a part's own variance is known
    binary: NDArray[np.bool_]  # each group weighs the same and is all right or all wrong
    kish: Array  # effective number of groups by their weights (Kish): their number where all weigh the same
    variance: Array  # of the mean, from the groups' residuals; NaN for one group
    part: Codes
    group: Codes
    influence: Array  # weighted residual of the group over the part's weight
    shared: Codes  # which of these entries belong to a group that occurs in several parts


@dataclass(frozen=True)
class Estimate:
    """A sum of means with its interval (None where a part has too few groups) and two-sided p against zero."""

    value: float
    low: float | None
    high: float | None
    df: float
    p: float | None


def means(values: Array, weights: Array, parts: Codes, groups: Codes, count: int) -> Means:
    """Means of `values` (0..1) in parts 0..count-1; items of part -1 or weight 0 are outside.

    The variance of a part is the ratio estimator's (Cochran 1977, ch. 6): of the groups' residuals. Few groups of
    fractions have too small a one by luck where most fractions are near one end. So it is at least its mean with one
    further group's, which counts for as much as yes or no would: the most that any fraction varies.
    """
    inside = (parts >= 0) & (weights > 0)
    w, span = weights[inside], int(groups.max(initial=0)) + 1
    pair, place = np.unique(parts[inside] * span + groups[inside], return_inverse=True)
    part, group = pair // span, pair % span
    of_pair = np.bincount(place, weights=w, minlength=len(pair)).astype(np.float64)
    right = np.bincount(place, weights=w * values[inside], minlength=len(pair)).astype(np.float64)

    def total(column: Array) -> Array:
        return np.bincount(part, weights=column, minlength=count).astype(np.float64)

    weight, number = total(of_pair), np.bincount(part, minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total(right) / weight
        residual = right - mean[part] * of_pair
        variance = number / (number - 1) * total(residual**2) / weight**2
        kish = weight**2 / total(of_pair**2)
        most = mean * (1 - mean) / kish
        variance = np.where(variance > 1e-24, np.maximum(variance, variance + (most - variance) / number), variance)
        influence = residual / weight[part]
        robust = mean * (1 - mean) / variance
    whole = np.minimum(right, of_pair - right) < _TINY * of_pair
    equal = np.abs(of_pair * kish[part] / weight[part] - 1) < 1e-6
    binary = (total((~(whole & equal)).astype(float)) == 0) & (number > 0)
    counted = binary | ~(variance > 1e-24) | ~((mean > 0) & (mean < 1))
    return Means(
        mean=mean,
        weight=weight,
        groups=number,
        size=np.where(counted, kish, robust),
        df=np.maximum(number - 1.0, 1.0),
        binary=binary,
        kish=kish,
        variance=variance,
        part=part,
        group=group,
        influence=influence,
        shared=np.nonzero(np.bincount(group, minlength=span)[group] > 1)[0],
    )


def wilson_limits(mean: Array, size: Array, z: float) -> tuple[Array, Array]:
    """Wilson's score limits for arrays of means and (effective) sizes."""
    centre = (mean + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * np.sqrt(np.maximum(mean * (1 - mean) / size + z * z / (4 * size * size), 0.0))
    return np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)


def combine(
    found: Means, coefficients: Array, constant: float = 0.0, least: int = 2, confidence: float = CONFIDENCE
) -> Estimate | None:
    """constant + sum of coefficient x mean, with its interval; None where a part with a coefficient is empty.

    Variances recovered from the parts' score limits are added, with Satterthwaite's degrees of freedom; groups that
    occur in several parts add their covariance. No interval where a part has fewer
    than `least` groups.
    """
    used = np.nonzero(coefficients)[0]
    if len(used) == 0 or np.isnan(found.mean[used]).any():
        return None
    c, mean, size = coefficients[used], found.mean[used], found.size[used]
    value = constant + float(c @ mean)
    if (found.groups[used] < least).any():
        return Estimate(value, None, None, math.nan, None)
    several = found.shared
    shared = covariance(found.group[several], found.influence[several] * coefficients[found.part[several]])
    df = _satterthwaite(c, mean, size, found.df[used])

    def reach(z: float) -> tuple[float, float]:
        low, high = wilson_limits(mean, size, z)
        down = np.where(c > 0, mean - low, high - mean) * c
        up = np.where(c > 0, high - mean, mean - low) * c
        return root_width(float(down @ down), z * z * shared), root_width(float(up @ up), z * z * shared)

    down, up = reach(quantile(0.5 + confidence / 2, df))
    return Estimate(value, value - down, value + up, df, _p(value, reach, df))


def tango(gain: float, loss: float, size: float, z: float) -> tuple[float, float]:
    """Tango's score limits of a paired difference (1998, Stat. Med. 17:891).

    `gain` and `loss` are the shares of `size` pairs that moved up and down; both may be effective numbers. Where none
    moved the limits are -+ z^2 / (size + z^2).
    """

    def beyond(delta: float) -> float:
        """How far the estimate lies above `delta`, in standard errors under that difference."""
        b = -gain - loss + (2 - gain + loss) * delta
        expected = (math.sqrt(max(b * b + 8 * loss * delta * (1 - delta), 0.0)) - b) / 4
        variance = max((2 * expected + delta * (1 - delta)) / size, 1e-300)
        return (gain - loss - delta) / math.sqrt(variance)

    estimate = gain - loss
    return _root(lambda d: beyond(d) - z, -1.0, estimate), _root(lambda d: beyond(d) + z, estimate, 1.0)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given (1979, Scand. J. Stat. 6:65)."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=float)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def quantile(p: float, df: float) -> float:
    """Student's t quantile; the normal one for infinite `df`."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(p) if math.isinf(df) else stdtrit(df, p))


def two_sided_p(statistic: float, df: float = math.inf) -> float:
    from scipy.special import ndtr, stdtr

    return float(2 * (ndtr(-abs(statistic)) if math.isinf(df) else stdtr(df, -abs(statistic))))


def satterthwaite(variances: Array, df: Array) -> float:
    """Degrees of freedom of a sum of independent variances with `df` each (infinite where none varies)."""
    loss = float((variances**2 / df).sum())
    return float(variances.sum()) ** 2 / loss if loss > 0 else math.inf


def covariance(group: Codes, influence: Array) -> float:
    """Twice the summed covariance of parts that share groups, from each (part, group)'s influence on the sum."""
    if len(group) == 0:
        return 0.0
    joint = np.bincount(np.unique(group, return_inverse=True)[1], weights=influence)
    return float(joint @ joint - influence @ influence)


def root_width(squares: float, shared: float) -> float:
    """The square root of summed squares and covariance; shared groups cannot make it vanish."""
    return math.sqrt(max(squares + shared, _LEAST * squares))


def _satterthwaite(c: Array, mean: Array, size: Array, df: Array) -> float:
    low, high = wilson_limits(mean, size, _Z95)
    return satterthwaite((c * (high - low) / (2 * _Z95)) ** 2, df)


def _p(value: float, reach: Callable[[float], tuple[float, float]], df: float) -> float:
    """The two-sided level at which the interval first touches zero."""
    if abs(value) < _TINY:
        return 1.0
    side = 0 if value > 0 else 1
    return two_sided_p(_root(lambda z: reach(z)[side] - abs(value), 0.0, 60.0), df)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a monotone function changes its sign; where it does not, the end at which it is nearer to zero."""
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if at_low * at_high >= 0:
        return low if abs(at_low) < abs(at_high) else high
    return float(brentq(function, low, high, xtol=1e-9))
