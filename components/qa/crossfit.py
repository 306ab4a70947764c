"""Out-of-fold scores: every labelled question is scored by a model that saw neither it nor a copy of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.errors import StageError
from components.qa.calibration import fit_temperature, probabilities
from components.qa.classification import split_groups

# Called with (training rows, rows to score): log-odds of the rows to score.
FitScore = Callable[[np.ndarray, np.ndarray], np.ndarray]
Rule = Callable[[np.ndarray, np.ndarray], float]  # (probabilities, labels): a threshold


def make_folds(groups: Sequence[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold (0 to folds − 1) of each row, shape (n,): whole groups, the labels' shares alike in all folds."""
    parts = split_groups(groups, labels.tolist(), [1 / folds] * (folds - 1), seed)
    fold = np.full(len(groups), -1)
    for number, part in enumerate(parts):
        fold[part] = number
    return fold


def refuse_leak(groups: Sequence[str], fold: np.ndarray) -> None:
    """Raise StageError when a question group is in two folds: its label would be known to the model that scores it."""
    seen: dict[str, int] = {}
    for row, (group, number) in enumerate(zip(groups, fold.tolist(), strict=True)):
        if seen.setdefault(group, number) != number:
            raise StageError(
                f"folds: row {row}: group {group} is in folds {seen[group]} and {number}, so its label leaks into the "
                "model that scores it; split by group_id, never by row"
            )


def cross_fit(groups: Sequence[str], fold: np.ndarray, fit_score: FitScore) -> np.ndarray:
    """Log-odds of every row from a model fitted on the other folds; refuses folds that split a group."""
    refuse_leak(groups, fold)
    scores = np.full(len(groups), np.nan)
    for training, scored in each_fold(fold):
        scores[scored] = fit_score(training, scored)
    assert not np.isnan(scores).any(), "a row was left without a score"
    return scores


def each_fold(fold: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows outside, rows inside) of each fold in turn."""
    for number in np.unique(fold):
        yield np.nonzero(fold != number)[0], np.nonzero(fold == number)[0]


def calibrated(labels: np.ndarray, log_odds: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probabilities after temperature scaling, each fold with the temperature of the others' rows."""
    prob = np.empty(len(labels))
    for training, scored in each_fold(fold):
        prob[scored] = probabilities(log_odds[scored], fit_temperature(labels[training], log_odds[training]))
    return prob


def decided(labels: np.ndarray, prob: np.ndarray, fold: np.ndarray, rule: Rule) -> np.ndarray:
    """1 where `prob` reaches a threshold, each fold by the one that the rule gives on the others' rows."""
    called = np.empty(len(labels), dtype=int)
    for training, scored in each_fold(fold):
        called[scored] = prob[scored] >= rule(prob[training], labels[training])
    return called
