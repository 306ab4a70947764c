"""How many questions take reasoning, when the judge errs: the share over the threshold, and corrected for errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.qa.classification import group_counts

CURVE_THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(101))


def rogan_gladen(share: Any, sensitivity: Any, specificity: Any) -> Any:
    """The true share behind a measured one: (share + specificity − 1) / (sensitivity + specificity − 1), within [0, 1].

    Rogan and Gladen, "Estimating prevalence from the results of a screening test", 1978. NaN where the judge is no
    better than chance (a denominator of 0 or less). Arguments broadcast. It takes for granted that sensitivity and
    specificity are the same where the share was measured as where they were.
    """
    share, power = np.asarray(share, dtype=float), np.asarray(sensitivity + specificity - 1, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = (share + specificity - 1) / power
    return np.where(power > 0, np.clip(corrected, 0, 1), np.nan)


def corrected_share(
    flags: np.ndarray,
    groups: Sequence[str],
    labels: np.ndarray,
    called: np.ndarray,
    label_groups: Sequence[str],
    seed: int,
    n: int = 2000,
) -> dict[str, float | None]:
    """The corrected share of `flags` (n items called reasoning) with a 95 % interval.

    `labels` and `called` (0, 1; out of fold) of the labelled questions give sensitivity and specificity. Both samples
    are drawn anew, by whole groups and apart from one another, so the interval holds the uncertainty of all three.
    """
    sensitivity, specificity = float(called[labels == 1].mean()), float(1 - called[labels == 0].mean())
    rng = np.random.default_rng(seed)
    measured = _shares(flags, np.ones(len(flags)), groups, rng, n)
    sensitive = _shares(called * labels, labels, label_groups, rng, n)
    specific = _shares((1 - called) * (1 - labels), 1 - labels, label_groups, rng, n, again=sensitive[1])
    drawn = rogan_gladen(measured[0], sensitive[0], specific[0])
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if not np.isnan(drawn).all() else (np.nan, np.nan)
    values = {
        "share": float(rogan_gladen(flags.mean(), sensitivity, specificity)),
        "ci_low": float(low),
        "ci_high": float(high),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def share_curve(prob: np.ndarray, benchmarks: Sequence[str]) -> dict[str, list[float]]:
    """`threshold`, and the share of items that reach it: `pooled` and `macro` (mean over benchmarks)."""
    by_name: dict[str, list[int]] = {}
    for row, name in enumerate(benchmarks):
        by_name.setdefault(name, []).append(row)
    steps = np.array(CURVE_THRESHOLDS)
    reached = prob[:, None] >= steps
    macro = np.mean([reached[rows].mean(axis=0) for rows in by_name.values()], axis=0)
    return {"threshold": steps.tolist(), "pooled": reached.mean(axis=0).tolist(), "macro": macro.tolist()}


def crossing(curve: Mapping[str, Sequence[float]], share: float) -> float:
    """The first threshold of the curve at which the pooled share is at or below `share`."""
    pairs = zip(curve["threshold"], curve["pooled"], strict=True)
    return next((threshold for threshold, value in pairs if value <= share), 1.0)


def _shares(
    hits: np.ndarray,
    chances: np.ndarray,
    groups: Sequence[str],
    rng: np.random.Generator,
    n: int,
    again: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """sum(hits) / sum(chances) in `n` draws of whole groups, and the draws; `again` repeats earlier draws."""
    number, size = group_counts(groups)
    draws = rng.multinomial(size, np.full(size, 1 / size), n) if again is None else again
    top = draws @ np.bincount(number, weights=hits, minlength=size)
    bottom = draws @ np.bincount(number, weights=chances, minlength=size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top / bottom, draws
