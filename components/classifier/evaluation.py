"""Folds that part no question, and classifiers side by side on them: group-bootstrap intervals, paired differences."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.classifier.metrics import ece_gaps, fit_calibration, group_counts, probabilities
from components.errors import InputError, StageError

Rule = Callable[[np.ndarray, np.ndarray], float]  # (probabilities, labels): a threshold

METRICS = ("auroc", "balanced_accuracy", "accuracy", "brier", "ece_before", "ece_after")
REFERENCE, MAJORITY = "tfidf", "majority"
DRAWS = 1000
Figure = dict[str, float | None]


def fold_groups(groups: Sequence[str], stems: Sequence[str]) -> list[str]:
    """What must not be parted: rows that share a question group or a stem, directly or through other rows.

    A model reads stems, so an equal stem is a copy to it whatever its group. Each row gets the first name, in order,
    among the question groups that belong together.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, own = np.unique(np.asarray(groups), return_inverse=True)
    _, asked = np.unique(np.asarray(stems), return_inverse=True)
    size = len(names) + int(asked.max(initial=-1)) + 1
    links = coo_array((np.ones(len(own)), (own, len(names) + asked)), shape=(size, size))
    _, part = connected_components(links, directed=False)
    first: dict[int, str] = {}
    for name, number in zip(names.tolist(), part[: len(names)].tolist(), strict=True):
        first.setdefault(number, name)  # names stand in order
    return [first[part[row]] for row in own]


def make_folds(groups: Sequence[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold (0 to folds − 1) of each row, shape (n,): whole groups, each label's groups dealt out in turn.

    So no fold is empty, each holds both labels, and sizes in groups differ by one at most. The order of dealing is that
    of hashes of group name and seed, whatever the order of rows; a group of both labels counts as the more frequent.
    Raises InputError when a label has fewer groups than there are folds. By hand: StratifiedGroupKFold deals by the
    order of rows, and in 3 of 300 sets of random size its folds were further apart than one group.
    """
    sums: dict[str, list[int]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        sums.setdefault(group, []).append(label)
    order: list[str] = []
    for label, kind in ((0, "Understanding"), (1, "Reasoning")):
        names = [name for name, given in sums.items() if (2 * sum(given) >= len(given)) == bool(label)]
        if len(names) < folds:
            raise InputError(
                f"folds: {folds} are asked for and only {len(names)} distinct questions are labelled {kind}, so a fold "
                "would have none; ask for fewer folds or label more"
            )
        order += sorted(names, key=lambda name: hashlib.sha256(f"{seed}|{name}".encode()).digest())
    place = {name: position % folds for position, name in enumerate(order)}
    return np.array([place[group] for group in groups])


def refuse_leak(groups: Sequence[str], fold: np.ndarray, kind: str = "group") -> None:
    """Raise StageError when a question is in two folds: its label would be known to the model that scores it.

    `groups` names each row's question, by its `kind` of name: the question group, or the stem that the model reads.
    """
    seen: dict[str, int] = {}
    for row, (group, number) in enumerate(zip(groups, fold.tolist(), strict=True)):
        if seen.setdefault(group, number) != number:
            raise StageError(
                f"folds: row {row}: {kind} {group} is in folds {seen[group]} and {number}, so its label leaks into the "
                "model that scores it; split by question group and stem, never by row"
            )


def each_fold(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows outside, rows inside) of each fold in turn."""
    for number in np.unique(fold):
        yield np.nonzero(fold != number)[0], np.nonzero(fold == number)[0]


def calibrated(labels: np.ndarray, log_odds: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probabilities after calibration, each fold with the slope and intercept of the others' rows.

    What remains of a leak: those rows' scores come from models that saw this fold's labels, so its calibration, and its
    threshold in `decided`, are not wholly blind to them. They are three numbers fitted to all other folds.
    """
    prob = np.empty(len(labels))
    for training, scored in each_fold(fold):
        prob[scored] = probabilities(log_odds[scored], *fit_calibration(labels[training], log_odds[training]))
    return prob


def decided(labels: np.ndarray, prob: np.ndarray, fold: np.ndarray, rule: Rule) -> np.ndarray:
    """1 where `prob` reaches a threshold, each fold by the one that the rule gives on the others' rows."""
    called = np.empty(len(labels), dtype=int)
    for training, scored in each_fold(fold):
        called[scored] = prob[scored] >= rule(prob[training], labels[training])
    return called


@dataclass(frozen=True)
class Judged:
    """One classifier's out-of-fold answers on n labelled rows, all of shape (n,)."""

    log_odds: np.ndarray
    raw: np.ndarray  # probability as it came
    prob: np.ndarray  # after calibration
    called: np.ndarray  # 1 where it reaches the threshold chosen on the other folds


def judge(labels: np.ndarray, log_odds: np.ndarray, fold: np.ndarray, rule: Rule) -> Judged:
    """Calibration and threshold for each fold from the rows of the other folds."""
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
    """{classifier: {metric: estimate and 95 % interval}}, with differences to TF-IDF and the majority where given.

    `auroc_minus_tfidf`, and `accuracy_minus_majority`, from which it follows whether a classifier beats one answer.

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
    for metric, reference in (("auroc", REFERENCE), ("accuracy", MAJORITY)):
        for name in judged if reference in judged else ():
            table[name][f"{metric}_minus_{reference}"] = _figure(
                figures[name][metric][0] - figures[reference][metric][0],
                spread[name][metric] - spread[reference][metric],
            )
    return table


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC for each row of `weights` (draws × n), ties counting half; NaN where a draw lacks one of the labels.

    By hand: roc_auc_score sorts anew for each of a thousand draws, one sort does for all (tested against it).
    """
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
    return np.asarray(np.abs(weights @ ece_gaps(labels, prob)).sum(axis=1))


def _figure(estimate: float, draws: np.ndarray) -> Figure:
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if not np.isnan(draws).all() else (np.nan, np.nan)
    values = {"estimate": estimate, "ci_low": low, "ci_high": high}
    return {name: None if np.isnan(value) else float(value) for name, value in values.items()}
