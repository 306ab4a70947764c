"""Out-of-fold scores: every labelled question is scored by a model that saw neither it nor a copy of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.classifier.calibration import fit_temperature, probabilities
from components.errors import InputError, StageError

# Called with (training rows, rows to score): log-odds of the rows to score.
FitScore = Callable[[np.ndarray, np.ndarray], np.ndarray]
Rule = Callable[[np.ndarray, np.ndarray], float]  # (probabilities, labels): a threshold


def fold_groups(groups: Sequence[str], stems: Sequence[str]) -> list[str]:
    """What must not be parted: rows that share a question group or a stem, directly or through other rows.

    A model reads stems, so an equal stem is a copy to it whatever its group. Each row gets the first name, in order,
    among the question groups that belong together.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent[above]
            node = above
        return node

    for group, stem in zip(groups, stems, strict=True):
        parent[root(("stem", stem))] = root(("group", group))
    name: dict[tuple[str, str], str] = {}
    for group in sorted(set(groups)):
        name.setdefault(root(("group", group)), group)
    return [name[root(("group", group))] for group in groups]


def make_folds(groups: Sequence[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold (0 to folds − 1) of each row, shape (n,): whole groups, each label's groups dealt out in turn.

    So no fold is empty, each holds both labels, and sizes in groups differ by one at most. The order of dealing is that
    of hashes of group name and seed, whatever the order of rows; a group of both labels counts as the more frequent.
    Raises InputError when a label has fewer groups than there are folds.
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
    """Probabilities after temperature scaling, each fold with the temperature of the others' rows.

    What remains of a leak: those rows' scores come from models that saw this fold's labels, so its temperature, and its
    threshold in `decided`, are not wholly blind to them. Each is one number fitted to all other folds.
    """
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
