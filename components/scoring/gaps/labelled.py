"""The gap from a classifier's probabilities and a labelled subsample that was drawn with known probabilities.

Design-based supervised learning (Egami, Hinck, Stewart and Wei 2023, NeurIPS): the label of an item is replaced by
l p + (R / pi) (T - l p), which has the right mean whatever p is worth, because the draw is ours. The tuning l is
PPI++'s (Angelopoulos, Duchi and Zrnic 2023): 0 uses the labels alone, 1 trusts p fully; it is chosen for the least
variance. No assumption on the classifier's error is needed, calibrated or not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.scoring.proportions import CONFIDENCE, Estimate, quantile, two_sided_p

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Subsample:
    """Of N items: p (`prob`), the label T (`truth`, NaN where not labelled) and the chance of being drawn, `drawn`."""

    prob: Array
    truth: Array
    drawn: Array


def labelled_gap(
    values: Array,
    sample: Subsample,
    weights: Array,
    groups: Codes,
    parts: Codes | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """E[Y | T=0] - E[Y | T=1] with a group-robust t interval on as many degrees of freedom as labelled groups less one.

    With `parts` (benchmarks), the mean of the parts' gaps weighted by k r / (k + r) of their estimated knowledge and
    reasoning items. A group is drawn as a whole: all its items carry its label and its probability. None with fewer
    than ten labelled groups or where a stratum is estimated as empty.
    """
    known = ~np.isnan(sample.truth) & (weights > 0)
    part = np.zeros(len(values), dtype=np.int64) if parts is None else parts
    labelled = len(np.unique(groups[known]))
    if labelled < 10:
        return None
    tuned = _influence(values, sample, weights, part, 1.0)
    if tuned is None:
        return None
    base, change = (np.bincount(groups, weights=column) for column in tuned[1:])
    noise = float(change @ change)
    tuning = min(1.0, max(0.0, -float(base @ change) / noise)) if noise > 0 else 1.0
    final = _influence(values, sample, weights, part, tuning)
    if final is None:
        return None
    value, fixed, moving = final
    influence = np.bincount(groups, weights=fixed + tuning * moving)
    se = math.sqrt(labelled / (labelled - 1) * float(influence @ influence))
    half = quantile(0.5 + confidence / 2, labelled - 1) * se
    return Estimate(value, value - half, value + half, labelled - 1, two_sided_p(value / se, labelled - 1))


def _influence(
    values: Array, sample: Subsample, weights: Array, part: Codes, tuning: float
) -> tuple[float, Array, Array] | None:
    """The estimate, and each item's influence as `fixed + tuning * moving`; None where a stratum is empty."""
    inverse = np.where(np.isnan(sample.truth), 0.0, 1.0 / sample.drawn)
    labels = np.nan_to_num(sample.truth) * inverse
    moving = sample.prob * (1 - inverse)
    pseudo = labels + tuning * moving

    def total(column: Array) -> Array:
        return np.bincount(part, weights=weights * column, minlength=int(part.max()) + 1).astype(np.float64)

    reasoning, all_ = total(pseudo), total(np.ones_like(values))
    knowledge = all_ - reasoning
    usable = (reasoning > 1e-6 * all_) & (knowledge > 1e-6 * all_)
    if not usable.any() or (len(usable) == 1 and not usable[0]):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        right = total(values * pseudo)
        of_reasoning, of_knowledge = right / reasoning, (total(values) - right) / knowledge
        own = np.where(usable, knowledge * reasoning / all_, 0.0)
    own /= own.sum()
    value = float((own * np.where(usable, of_knowledge - of_reasoning, 0.0)).sum())
    away = (np.where(usable, m, 0.0)[part] for m in (of_knowledge, of_reasoning))
    k, r = (np.where(usable, own / np.where(usable, m, 1.0), 0.0)[part] for m in (knowledge, reasoning))
    from_knowledge, from_reasoning = (
        weights * (values - mean) * scale for mean, scale in zip(away, (k, r), strict=True)
    )
    rest = -(from_knowledge + from_reasoning)
    return value, from_knowledge + rest * labels, rest * moving
