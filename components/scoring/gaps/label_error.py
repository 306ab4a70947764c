"""What an imperfect classifier does to the knowledge-reasoning gap, and estimates that undo it.

T is whether an item truly takes reasoning, p the classifier's calibrated probability of it, C the call p >= threshold,
Y whether the answer is right. The error is non-differential when Y depends on T only, not on p given T. Then

- the hard gap E[Y|C=0] - E[Y|C=1] is the true gap times (P(T=1|C=1) - P(T=1|C=0)), the attenuation factor;
- weighting each item by p ("soft") gives the true gap times Var(p) / (m (1 - m)) for the mean m of p, which for
  calibrated p is 1 - Brier/Brier0: it shrinks more than the hard gap and is no check of it;
- E[Y|p] is linear in p with minus the true gap as its slope: the slope is not attenuated.

Without that assumption only bounds remain (Horowitz and Manski 1995, Econometrica 63:281).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.scoring.proportions import CONFIDENCE, Estimate, quantile, two_sided_p

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

LEAST_ATTENUATION = 0.1  # below it a corrected gap is mostly the noise that it multiplies; our choice


def attenuation_hard(prob: Array, called: NDArray[np.bool_], weights: Array) -> float:
    """Mean p of the items called reasoning less that of the others; NaN where a side is empty."""
    high, low = weights * called, weights * ~called
    if not high.sum() > 0 or not low.sum() > 0:
        return math.nan
    return float(prob @ high / high.sum() - prob @ low / low.sum())


def attenuation_soft(prob: Array, weights: Array) -> float:
    """1 - Brier/Brier0 expected of calibrated p: Var(p) / (m (1 - m)); NaN where m is 0 or 1."""
    mean = float(prob @ weights / weights.sum())
    if not 0 < mean < 1:
        return math.nan
    return float((prob - mean) ** 2 @ weights / weights.sum() / (mean * (1 - mean)))


@dataclass(frozen=True)
class Linearised:
    """An estimate, each group's influence on it (by group number), and the degrees of freedom of their spread."""

    value: float
    influence: Array
    df: int

    def minus(self, other: Linearised) -> Linearised:
        """The difference of two estimates from the same items."""
        return Linearised(self.value - other.value, self.influence - other.influence, min(self.df, other.df))

    def estimate(self, confidence: float = CONFIDENCE) -> Estimate:
        """With a group-robust t interval; without one where nothing is left to estimate the spread from."""
        if self.df < 1:
            return Estimate(self.value, None, None, math.nan, None)
        se = math.sqrt((self.df + 1) / self.df * float(self.influence @ self.influence))
        half = quantile(0.5 + confidence / 2, self.df) * se
        p = two_sided_p(self.value / se, self.df) if se > 0 else None
        return Estimate(self.value, self.value - half, self.value + half, self.df, p)


def slope_gap(values: Array, prob: Array, weights: Array, groups: Codes, parts: Codes) -> Linearised | None:
    """Minus the slope of `values` on p: the gap between p = 0 and p = 1.

    Assumes that mean correctness is linear in p and that p is calibrated, which non-differential error implies; p from
    a model that is too sure of itself shrinks it. `parts` (benchmarks) get an intercept each: one part is the pooled
    slope, several are the slope within parts. None where p does not vary within any part.
    """
    inside = weights > 0
    y, p, w, group = values[inside], prob[inside], weights[inside], groups[inside]
    part = np.unique(parts[inside], return_inverse=True)[1]
    centred, residual = p - _part_means(p, w, part), y - _part_means(y, w, part)
    spread = float(w @ centred**2)
    if not spread > 1e-9 * float(w.sum()):
        return None
    slope = float(w @ (centred * y)) / spread
    influence = -w * centred * (residual - slope * centred) / spread
    free = int((np.bincount(group) > 0).sum()) - (int(part.max()) + 1) - 1
    return Linearised(-slope, _by_group(influence, group, groups), free)


def stratum_gap(values: Array, first: Array, second: Array, groups: Codes) -> Linearised | None:
    """The mean weighted by `first` less the mean weighted by `second`; None where either has no weight."""
    if not first.sum() > 0 or not second.sum() > 0:
        return None
    sides = [(w / w.sum(), float(w @ values / w.sum())) for w in (first, second)]
    (k, mean_k), (r, mean_r) = sides
    influence = k * (values - mean_k) - r * (values - mean_r)
    count = int((np.bincount(groups[(first + second) > 0]) > 0).sum())
    return Linearised(mean_k - mean_r, _by_group(influence, groups, groups), count - 2)


@dataclass(frozen=True)
class Errors:
    """Sensitivity and specificity of the calls, with standard errors (0: taken as known)."""

    sensitivity: float
    specificity: float
    sensitivity_se: float = 0.0
    specificity_se: float = 0.0


def matrix_factor(called: float, errors: Errors) -> float:
    """The attenuation factor that these errors imply where a share `called` is called reasoning; NaN outside reach.

    With J = sensitivity + specificity - 1 and the true share s = (called + specificity - 1) / J (Rogan and Gladen
    1978) it is J s (1 - s) / (called (1 - called)).
    """
    power = errors.sensitivity + errors.specificity - 1
    share = (called + errors.specificity - 1) / power if power > 0 else math.nan
    if not 0 < share < 1 or not 0 < called < 1:
        return math.nan
    return power * share * (1 - share) / (called * (1 - called))


def matrix_gap(
    gap: float, se: float, called: float, items: float, errors: Errors, confidence: float = CONFIDENCE
) -> Estimate | None:
    """The gap behind a hard `gap`, by the matrix method under non-differential error, with a delta interval.

    `called` is the share called reasoning among (effectively) `items`; the errors count as measured elsewhere,
    independently. None where the calls are hardly better than chance or the share cannot be.
    """

    def corrected(values: Array) -> float:
        factor = matrix_factor(float(values[1]), Errors(float(values[2]), float(values[3])))
        return float(values[0]) / factor if factor >= LEAST_ATTENUATION else math.nan

    at = np.array([gap, called, errors.sensitivity, errors.specificity])
    spread = np.array([se, math.sqrt(called * (1 - called) / items), errors.sensitivity_se, errors.specificity_se])
    value = corrected(at)
    if math.isnan(value):
        return None
    steps = np.eye(4) * 1e-5
    slopes = np.array([(corrected(at + step) - corrected(at - step)) / 2e-5 for step in steps])
    total = math.sqrt(float(((slopes * spread) ** 2).sum()))
    half = quantile(0.5 + confidence / 2, math.inf) * total
    return Estimate(value, value - half, value + half, math.inf, two_sided_p(value / total) if total > 0 else None)


def gap_bounds(called: Array, right: tuple[Array, Array], reasoning: tuple[Array, Array]) -> tuple[Array, Array]:
    """The smallest and largest true gap that the data allow, whatever the error depends on; arguments broadcast.

    `called`: share called reasoning; `right` and `reasoning`: accuracy and true share of reasoning among the items
    called knowledge and among those called reasoning. The right answers of either may all be of its reasoning
    questions or, as far as they fit, of the others.
    """
    shares = 1 - called, called
    least = sum(s * np.maximum(0.0, a - (1 - r)) for s, a, r in zip(shares, right, reasoning, strict=True))
    most = sum(s * np.minimum(a, r) for s, a, r in zip(shares, right, reasoning, strict=True))
    true = sum(s * r for s, r in zip(shares, reasoning, strict=True))
    overall = sum(s * a for s, a in zip(shares, right, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = ((overall - x) / (1 - true) - x / true for x in (most, least))
    return np.asarray(low), np.asarray(high)


def _by_group(influence: Array, group: Codes, groups: Codes) -> Array:
    return np.bincount(group, weights=influence, minlength=int(groups.max()) + 1).astype(np.float64)


def _part_means(values: Array, weights: Array, part: Codes) -> Array:
    sums, total = (np.bincount(part, weights=column) for column in (weights * values, weights))
    return (sums / np.maximum(total, 1e-300))[part]
