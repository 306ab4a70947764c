"""Two models on the same questions: the score test of their mean difference, and the bounds that invert it.

The unit is the question group: each group counts once, with the mean difference of its items (of three prefills where
the setting has three), a number from -1 to 1. The statistic is

    (sum of differences - G * bound) / sqrt(G * variance under the null),

where that variance belongs to the likeliest distribution on -1..1 whose mean is the bound. For single answers
(differences -1, 0, 1) this is Tango's test (1998, Stat. Med. 17:891), for non-inferiority as in Liu et al. (2002, Stat.
Med. 21:231); for fractions it is the same with more values (Owen's empirical likelihood with the end of the scale as a
possible value; 2001, sec. 3). A tiny spread that was seen by luck therefore does not look like certainty: no loss among
100 questions is judged by how often that happens under a loss at the margin.

Corrections keep the error at the level where the normal tail is not enough:
- single answers: against 0 the exact sign test (McNemar's), against another bound with at most EXACT_GROUPS groups the
  exact tail, the largest over the unknown share of discordant answers (Chan 1998, Stat. Med. 17:1403);
- fractions: Student's t, and the saddlepoint tail of the sum under the null distribution;
- groups of unequal size: the difference weighed by items must hold as well, by the group-robust score test with CR2
  weights and Satterthwaite's degrees of freedom (Bell and McCaffrey 2002, Survey Methodology 28:169).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from components.scoring.intervals import POWER, Array, Codes, group_sums, normal_quantile

EXACT_GROUPS = 200
_SHARES = 60  # values of the nuisance parameter at which the exact tail is taken
_TIE = 1e-9  # statistics closer than this are equal


@dataclass(frozen=True)
class Paired:
    """Candidate minus baseline on `groups` question groups (`n` items): how often each difference occurred.

    `values` are the distinct differences of a group, ascending, `counts` how many groups have each; `sums` and `sizes`
    (per group) are kept only where sizes differ.
    """

    values: Array
    counts: Array
    n: int
    groups: int
    sums: Array | None = None
    sizes: Array | None = None

    @property
    def estimate(self) -> float:
        """Mean difference of a group."""
        return float(self.values @ self.counts) / self.groups

    @property
    def effective(self) -> float:
        """How many groups of equal size would weigh as much (Kish 1965): `groups` where sizes are equal."""
        return self.groups if self.sizes is None else float(self.sizes.sum() ** 2 / (self.sizes @ self.sizes))

    @cached_property
    def single(self) -> bool:
        """Whether every group won, lost or kept its answer as a whole: a trinomial."""
        return bool((self.values == np.round(self.values)).all())

    @cached_property
    def gained(self) -> int:
        return int(self.counts[self.values > 0].sum())

    @cached_property
    def lost(self) -> int:
        return int(self.counts[self.values < 0].sum())

    def p_above(self, bound: float) -> float:
        """One-sided p of "the true difference is at most `bound`"."""
        p = self._score_p(bound)
        if self.groups < 2:
            return 1.0
        if not self.single:
            return max(p, _tail_p(self.values, self.counts, bound))
        if bound == 0:
            return max(p, sign_p(self.gained, self.lost))
        if self.groups <= EXACT_GROUPS and -1 < bound < 1:
            return max(p, exact_p(self.gained, self.lost, self.groups, bound))
        return p

    def _score_p(self, bound: float) -> float:
        """p_above without the corrections that hold at one bound only."""
        from scipy.special import ndtr, stdtr

        if self.groups < 2:
            return 1.0
        if self.single:
            p = float(ndtr(-tango_z(self.gained, self.lost, self.groups, bound)))
        else:
            p = float(stdtr(self.groups - 1, -constrained_z(self.values, self.counts, bound)))
        if self.sums is not None and self.sizes is not None:
            shares = null_distribution(self.values, self.counts / self.groups, bound)
            p = max(p, _by_items_p(self.sums, self.sizes, bound, _null_variance(*shares, bound)))
        return p

    def lower(self, level: float, at: float = 0.0) -> float:
        """One-sided lower confidence bound at `level` (0.05 means 95 % confidence), by inverting the score test.

        The corrections of the normal tail enter at `at`, the value under test: the bound exceeds it only if
        `p_above(at)` does not exceed the level.
        """
        if self.groups < 2 or not level > 0 or self._score_p(-1.0) > level:
            return -1.0
        aim = normal_quantile(level)

        def short(bound: float) -> float:
            """On the normal scale, where the statistic is nearly linear in the bound and the search takes few steps."""
            return normal_quantile(min(max(self._score_p(bound), 1e-300), 1 - 1e-15)) - aim

        high, step = self.estimate, -aim * math.sqrt((self._spread() + 1 / self.groups) / self.groups)
        if short(high) <= 0:
            return min(high, at) if self.p_above(at) > level else high
        low = max(-1.0, high - step)
        while low > -1 and short(low) > 0:
            high, low = low, max(-1.0, low - step)
        low = _root(short, low, high)
        return min(low, at) if low > at and self.p_above(at) > level else low

    def upper(self, level: float, at: float = 0.0) -> float:
        return -self.swapped().lower(level, -at)

    def _spread(self) -> float:
        return float(self.counts @ (self.values - self.estimate) ** 2) / self.groups

    def swapped(self) -> Paired:
        """Baseline minus candidate."""
        sums = None if self.sums is None else -self.sums
        return Paired(-self.values[::-1], self.counts[::-1], self.n, self.groups, sums, self.sizes)

    def detectable(self, level: float, power: float = POWER) -> float:
        """The smallest true gain that a test at `level` finds with this `power`, at the observed spread; NaN without
        one."""
        if self.groups < 2 or not level > 0:
            return math.nan
        return (normal_quantile(1 - level) + normal_quantile(power)) * math.sqrt(self._spread() / self.groups)


def paired(candidate: Array, baseline: Array, groups: Codes) -> Paired | None:
    """Paired comparison over the items where both values are given (not NaN); None where there is no such item."""
    difference = candidate - baseline
    both = ~np.isnan(difference)
    if not both.any():
        return None
    sums, sizes = group_sums(difference[both], groups[both])
    values, counts = np.unique(np.round(sums / sizes, 9), return_counts=True)
    unequal = bool((sizes != sizes[0]).any())
    parts = (sums, sizes) if unequal else (None, None)
    return Paired(values, counts.astype(np.float64), int(sizes.sum()), len(sizes), *parts)


def tango_z(gained: object, lost: object, n: object, bound: float) -> NDArray[np.float64]:
    """Tango's score statistic of "gain minus loss is at most `bound`" from discordant counts among `n`; arrays allowed.

    Equals sqrt(n * -bound / (1 + bound)) where nothing differs: no special case at zero losses.
    """
    b, c, total = (np.asarray(part, dtype=np.float64) for part in (gained, lost, n))
    linear = -b - c + (2 * total - b + c) * bound
    root = np.sqrt(np.maximum(linear**2 + 8 * total * c * bound * (1 - bound), 0.0))
    loss = (root - linear) / (4 * total)
    variance = total * (2 * loss + bound * (1 - bound))
    distance = b - c - total * bound
    with np.errstate(divide="ignore", invalid="ignore"):
        z = distance / np.sqrt(np.maximum(variance, 0.0))
    return np.where(variance > 1e-12, z, np.where(distance > 1e-12, np.inf, np.where(distance < -1e-12, -np.inf, 0.0)))


def sign_p(gained: int, lost: int) -> float:
    """Exact one-sided p of "a discordant group is as likely lost as gained" (McNemar's, one side)."""
    from scipy.special import bdtr

    return float(bdtr(lost, gained + lost, 0.5)) if gained + lost else 1.0


def exact_p(gained: int, lost: int, n: int, bound: float) -> float:
    """Largest probability, over the share of losses, of a statistic as large as the one seen if the truth is `bound`.

    Tables are ordered by Tango's statistic; the shares of losses are taken densely near the smallest possible one.
    """
    lose = np.arange(n + 1)
    table = tango_z(lose[None, :], lose[:, None], n, bound)  # rows lost, columns gained
    reached = (table >= float(tango_z(gained, lost, n, bound)) - _TIE) & (lose[:, None] + lose[None, :] <= n)
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), n + 1)
    smallest, largest = max(0.0, -bound), (1 - bound) / 2
    shares = smallest + (largest - smallest) * np.linspace(0, 1, _SHARES) ** 2
    return float(np.max(tail_probability(first, n, shares, shares + bound)))


def tail_probability(first: NDArray[np.int64], n: int, loss: Array, gain: Array) -> Array:
    """P(gained >= first[lost]) for each pair of true shares `loss` and `gain` (arrays of one length K); K numbers."""
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    lost = np.arange(n + 1.0)[None, :]
    q, rest = loss[:, None], np.maximum(n - lost, 0)
    ways = gammaln(n + 1) - gammaln(lost + 1) - gammaln(rest + 1)
    weight = np.exp(ways + xlogy(lost, q) + xlog1py(rest, -q))
    share = np.clip(gain[:, None] / np.maximum(1 - q, 1e-300), 0, 1)
    need = np.broadcast_to(first[None, :], weight.shape)
    inside = np.where((need >= 1) & (need <= rest), bdtrc(np.clip(need - 1, 0, rest), rest, share), 0.0)
    tail: Array = (weight * np.where(need <= 0, 1.0, inside)).sum(axis=1)
    return tail


def constrained_z(values: Array, counts: Array, bound: float) -> float:
    """Tango's statistic for differences that are fractions, from distinct ascending `values` and their `counts`."""
    total = float(counts.sum())
    distance = float(values @ counts) / total - bound
    variance = _null_variance(*null_distribution(values, counts / total, bound), bound)
    if variance <= 1e-12:
        return math.copysign(math.inf, distance) if abs(distance) > 1e-12 else 0.0
    return distance * math.sqrt(total / variance)


def _tail_p(values: Array, counts: Array, bound: float) -> float:
    """The saddlepoint tail of the sum under the null distribution (Lugannani and Rice 1980, Adv. Appl. Probab. 12:475).

    Rare large gains that pay for frequent small losses make it heavier than the normal one. 0 where the observed mean
    is less than half a standard error above the bound: the normal tail serves there.
    """
    total = float(counts.sum())
    distance = float(values @ counts) / total - bound
    support, shares = null_distribution(values, counts / total, bound)
    variance = _null_variance(support, shares, bound)
    if variance <= 1e-12 or distance * math.sqrt(total) < 0.5 * math.sqrt(variance):
        return 0.0
    return _saddlepoint_p(support - bound, shares, distance, total)


def null_distribution(values: Array, shares: Array, bound: float) -> tuple[Array, Array]:
    """The likeliest distribution on -1..1 with mean `bound`, given observed `shares` of ascending `values`.

    Its probabilities are shares / (1 + tilt * (value - bound)). Where no tilt reaches the bound, what is missing lies
    at the end of the scale, the worst that can happen unseen. Returns support and probabilities.
    """
    offset = float(values @ shares) - bound
    if abs(offset) < 1e-12:
        return values, shares
    if offset < 0:
        support, weights = null_distribution(-values[::-1], shares[::-1], -bound)
        return -support[::-1], weights[::-1]
    if bound <= -1:
        return np.array([-1.0]), np.array([1.0])
    offsets, most = values - bound, 1 / (bound + 1)

    def excess(tilt: float) -> float:
        return float(shares @ (offsets / (1 + tilt * offsets)))

    if values[0] > -1 + 1e-12 and excess(most) >= 0:
        weights = shares * (bound + 1) / (values + 1)
        return np.append(-1.0, values), np.append(1 - weights.sum(), weights)
    tilt = _root(lambda t: -excess(t), 0.0, most * (1 - 1e-12), 1e-9)
    return values, shares / (1 + tilt * offsets)


def _null_variance(support: Array, shares: Array, bound: float) -> float:
    return float(shares @ (support - bound) ** 2)


def _saddlepoint_p(offsets: Array, shares: Array, distance: float, n: float) -> float:
    """P(mean of n draws >= distance > 0) for draws of `offsets` (mean 0) with probabilities `shares`."""
    from scipy.special import ndtr

    def slope(tilt: float) -> float:
        weights = shares * np.exp(tilt * (offsets - offsets[-1]))
        return float(weights @ offsets / weights.sum()) - distance

    tilt = _root(slope, 0.0, 200.0, 1e-9)
    weights = shares * np.exp(tilt * (offsets - offsets[-1]))
    growth = math.log(float(weights.sum())) + tilt * offsets[-1]
    tilted = weights / weights.sum()
    curvature = float(tilted @ offsets**2) - float(tilted @ offsets) ** 2
    w, u = math.sqrt(max(2 * n * (tilt * distance - growth), 0.0)), tilt * math.sqrt(n * max(curvature, 0.0))
    if w < 1e-6 or u < 1e-6:
        return 0.0
    return float(ndtr(-w)) + math.exp(-w * w / 2) / math.sqrt(2 * math.pi) * (1 / u - 1 / w)


def _by_items_p(sums: Array, sizes: Array, bound: float, variance: float) -> float:
    """One-sided p of "the difference weighed by items is at most `bound`", robust to few large groups.

    The variance is the larger of two, both under the null: that of groups that all have `variance` (so that large
    groups without a loss by luck do not look certain), and the group-robust one, with residuals from the bound, each
    divided by sqrt(1 - share of its group) (CR2 of a mean). The degrees of freedom are Satterthwaite's, for groups
    whose items are answered alike.
    """
    from scipy.special import stdtr

    total = float(sizes.sum())
    share = sizes / total
    residual = (sums - bound * sizes) / total
    spread = math.sqrt(max(float((residual**2 / (1 - share)).sum()), variance * float(share @ share)))
    distance = float(residual.sum())
    if spread <= 1e-12:
        return 1.0 if distance <= 0 else 0.0
    return float(stdtr(_satterthwaite(share), -distance / spread))


def _satterthwaite(share: Array) -> float:
    """Degrees of freedom of the CR2 variance of a mean whose groups hold these shares of the items.

    tr(B)^2 / tr(B^2) with B the covariance of the adjusted residuals; B_jk = e_j (1 if j = k) + d_j d_k (h_j + h_k).
    """
    d2 = share**2 / (1 - share)
    h = float(share @ share) / 2 - share
    trace = float((d2 * (1 + 2 * h)).sum())
    square = float((d2**2 * (1 + 4 * h)).sum()) + 2 * float(d2 @ h**2) * float(d2.sum()) + 2 * float(d2 @ h) ** 2
    return trace**2 / square


def _root(function: Callable[[float], float], low: float, high: float, precision: float = 1e-6) -> float:
    """Where an increasing `function` crosses zero between `low` and `high`; an end where it does not."""
    from scipy.optimize import brentq

    if function(low) >= 0:
        return low
    if function(high) <= 0:
        return high
    return float(brentq(function, low, high, xtol=precision))
