"""How many questions take reasoning, when the judge errs: the share over the threshold, and corrected for errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.classifier.metrics import group_counts

CURVE_THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(101))


def rogan_gladen(share: Any, sensitivity: Any, specificity: Any) -> Any:
    """The true share behind a measured one: (share + specificity − 1) / (sensitivity + specificity − 1).

    Rogan and Gladen, "Estimating prevalence from the results of a screening test", 1978. It takes for granted that
    sensitivity and specificity are the same where the share was measured as where they were; a value outside [0, 1]
    says that they are not. NaN where the judge is no better than chance (a denominator of 0 or less). Arguments
    broadcast.
    """
    share, power = np.asarray(share, dtype=float), np.asarray(sensitivity + specificity - 1, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, (share + specificity - 1) / power, np.nan)


def corrected_share(
    flags: np.ndarray,
    truth: np.ndarray,
    groups: Sequence[str],
    labels: np.ndarray,
    called: np.ndarray,
    label_groups: Sequence[str],
    seed: int,
    n: int = 2000,
) -> dict[str, float | None]:
    """The share of reasoning among items of which `flags` (0, 1) are called so, corrected, with a 95 % interval.

    `truth` holds the experts' label where an item has one (0, 1; NaN elsewhere): such an item counts as labelled, and
    only the others' share is corrected, within [0, 1]. `labels` and `called` (0, 1; out of fold) of the labelled
    questions give sensitivity and specificity. Items and labelled questions are drawn anew, by whole groups and apart
    from one another. `uncut` and its interval are the correction itself: where all of that interval lies outside
    [0, 1], the classifier errs otherwise among these items, and `share` is None.
    """
    sensitivity, specificity = float(called[labels == 1].mean()), float(1 - called[labels == 0].mean())
    rng = np.random.default_rng(seed)
    unknown = np.isnan(truth)
    once = np.ones((1, group_counts(groups)[1]))
    draws = _draws(groups, rng, n)
    label_draws = _draws(label_groups, rng, n)
    sensitive = _ratio(label_draws, label_groups, called * labels, labels)
    specific = _ratio(label_draws, label_groups, (1 - called) * (1 - labels), 1 - labels)

    def estimates(times: np.ndarray, sens: Any, spec: Any) -> tuple[np.ndarray, np.ndarray]:
        rest = _ratio(times, groups, unknown, np.ones(len(flags)))
        uncut = rogan_gladen(_ratio(times, groups, flags * unknown, unknown), sens, spec)
        known = _ratio(times, groups, np.where(unknown, 0, truth), np.ones(len(flags)))
        return known + np.where(rest > 0, rest * np.clip(uncut, 0, 1), 0), uncut

    (share,), (uncut,) = estimates(once, sensitivity, specificity)
    (low, high), (uncut_low, uncut_high) = (_percentiles(drawn) for drawn in estimates(draws, sensitive, specific))
    impossible = uncut_high < 0 or uncut_low > 1
    values = {
        "share": np.nan if impossible else share,
        "ci_low": np.nan if impossible else low,
        "ci_high": np.nan if impossible else high,
        "uncut": uncut,
        "uncut_low": uncut_low,
        "uncut_high": uncut_high,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}


def correction_words(found: Mapping[str, float | None]) -> str:
    """A corrected share with its interval, or why there is none; "" where the classifier is no better than chance."""
    if found["share"] is not None:
        return f"{found['share']:.1%} ({found['ci_low']:.1%} to {found['ci_high']:.1%})"
    if found["uncut"] is None:
        return ""
    return f"none: {found['uncut']:.0%} ({found['uncut_low']:.0%} to {found['uncut_high']:.0%}) is no share"


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


def _draws(groups: Sequence[str], rng: np.random.Generator, n: int) -> np.ndarray:
    """How often each group is drawn, shape (n, groups)."""
    size = group_counts(groups)[1]
    return rng.multinomial(size, np.full(size, 1 / size), n)


def _ratio(draws: np.ndarray, groups: Sequence[str], hits: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """sum(hits) / sum(chances) in each draw of whole groups, NaN where there is no chance."""
    number, size = group_counts(groups)
    top, bottom = (draws @ np.bincount(number, weights=column, minlength=size) for column in (hits, chances))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(top / bottom)


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
