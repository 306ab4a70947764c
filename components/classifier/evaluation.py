"""Classifiers side by side on the same folds: figures with group-bootstrap intervals, differences paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.classifier.calibration import ECE_BINS, probabilities
from components.classifier.crossfit import Rule, calibrated, decided, each_fold
from components.classifier.metrics import group_counts

METRICS = ("auroc", "balanced_accuracy", "accuracy", "brier", "ece_before", "ece_after")
REFERENCE = "tfidf"
DRAWS = 1000
Figure = dict[str, float | None]


@dataclass(frozen=True)
class Judged:
    """One classifier's out-of-fold answers on n labelled rows, all of shape (n,)."""

    log_odds: np.ndarray
    raw: np.ndarray  # probability as it came
    prob: np.ndarray  # after temperature scaling
    called: np.ndarray  # 1 where it reaches the threshold chosen on the other folds


def judge(labels: np.ndarray, log_odds: np.ndarray, fold: np.ndarray, rule: Rule) -> Judged:
    """Temperature and threshold for each fold from the rows of the other folds."""
    prob = calibrated(labels, log_odds, fold)
    return Judged(log_odds, probabilities(log_odds), prob, decided(labels, prob, fold, rule))


def constant(labels: np.ndarray, fold: np.ndarray) -> Judged:
    """Always the other folds' more frequent label, its share there as the probability: what knowing nothing gives.

    Its log-odds are 0 everywhere, so its AUROC is one half. The others' share is no score to rank by: where a fold has
    more of a label the others have less, and ranking folds by it would go against the labels.
    """
    prob = np.empty(len(labels))
    for training, scored in each_fold(fold):
        prob[scored] = labels[training].mean()
    return Judged(np.zeros(len(labels)), prob, prob, (prob >= 0.5).astype(int))


def compare_classifiers(
    labels: np.ndarray, groups: Sequence[str], judged: Mapping[str, Judged], seed: int, draws: int = DRAWS
) -> dict[str, dict[str, Figure]]:
    """{classifier: {metric: estimate and 95 % interval}}, with `auroc_minus_tfidf` where that reference is given.

    All classifiers see the same draws of whole groups, so that a difference is paired.
    """
    number, size = group_counts(groups)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(size, np.full(size, 1 / size), draws)[:, number].astype(float)
    once = np.ones((1, len(labels)))
    figures, spread = ({k: _metrics(labels, j, w) for k, j in judged.items()} for w in (once, drawn))
    table = {
        name: {metric: _figure(values[metric][0], spread[name][metric]) for metric in METRICS}
        for name, values in figures.items()
    }
    if REFERENCE in judged:
        for name in judged:
            table[name]["auroc_minus_tfidf"] = _figure(
                figures[name]["auroc"][0] - figures[REFERENCE]["auroc"][0],
                spread[name]["auroc"] - spread[REFERENCE]["auroc"],
            )
    return table


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC for each row of `weights` (draws × n), ties counting half; NaN where a draw lacks one of the labels."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) > 0))
    positive = np.add.reduceat(weights[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * (1 - labels[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((positive * (below + negative / 2)).sum(axis=1) / pairs)


def length_matched(labels: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Rows, as many of each label, whose lengths are alike: length alone says nothing about the label among them.

    Within each label rows are ordered by length in words; every row of the rarer label takes the nearest row of the
    other that is still free, at most a tenth of its length (and two words) away.
    """
    rare = int(np.sum(labels == 1) < np.sum(labels == 0))
    free = {int(i) for i in np.flatnonzero(labels != rare)}
    rows: list[int] = []
    for row in sorted(np.flatnonzero(labels == rare), key=lambda i: (-words[i], i)):
        near = min(free, key=lambda i: (abs(words[i] - words[row]), i), default=None)
        if near is not None and abs(words[near] - words[row]) <= max(2, 0.1 * words[row]):
            free.remove(near)
            rows += [int(row), near]
    return np.array(sorted(rows), dtype=int)


def _metrics(labels: np.ndarray, judged: Judged, weights: np.ndarray) -> dict[str, np.ndarray]:
    total = weights.sum(axis=1)
    right = judged.called == labels
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [(weights @ (right & (labels == k))) / (weights @ (labels == k)) for k in (0, 1)]
    return {
        "auroc": weighted_auroc(labels, judged.log_odds, weights),
        "balanced_accuracy": (found[0] + found[1]) / 2,
        "accuracy": weights @ right / total,
        "brier": weights @ (judged.prob - labels) ** 2 / total,
        "ece_before": _ece(labels, judged.raw, weights) / total,
        "ece_after": _ece(labels, judged.prob, weights) / total,
    }


def _ece(labels: np.ndarray, prob: np.ndarray, weights: np.ndarray) -> np.ndarray:
    bins = np.minimum((prob * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = (prob - labels)[:, None] * (bins[:, None] == np.arange(ECE_BINS))
    return np.asarray(np.abs(weights @ gaps).sum(axis=1))


def _figure(estimate: float, draws: np.ndarray) -> Figure:
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if not np.isnan(draws).all() else (np.nan, np.nan)
    values = {"estimate": estimate, "ci_low": low, "ci_high": high}
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}
