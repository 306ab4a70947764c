"""Out-of-fold scores: whole groups, nobody judged by a model that knew the answer, thresholds from other folds."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.classifier import evaluation as crossfit
from components.classifier import learners
from components.classifier.evaluation import weighted_auroc
from components.errors import InputError, StageError

GROUPS = [f"g{n % 60}" for n in range(300)]  # every question five times
LABELS = np.array([int(int(group[1:]) * 7 % 60 < 40) for group in GROUPS])


def auroc(labels: np.ndarray, odds: np.ndarray) -> float:
    return float(weighted_auroc(labels, odds, np.ones((1, len(labels))))[0])


def test_folds_hold_whole_groups_and_both_labels() -> None:
    fold = crossfit.make_folds(GROUPS, LABELS, 5, seed=0)
    assert set(fold.tolist()) == set(range(5))
    for number in range(5):
        assert {GROUPS[i] for i in np.flatnonzero(fold == number)}.isdisjoint(
            {GROUPS[i] for i in np.flatnonzero(fold != number)}
        )
        assert set(LABELS[fold == number]) == {0, 1}
    crossfit.refuse_leak(GROUPS, fold)


def test_a_planted_leak_pays_and_is_refused() -> None:
    """Words that say nothing about the label: by row a bag of words recognises the copies, by group it cannot."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)[[int(group[1:]) for group in GROUPS]]
    texts = [f"unrelated words number{group} more{group} of{group}" for group in GROUPS]

    def fit_score(training: np.ndarray) -> Any:
        scorer = learners.tfidf([texts[i] for i in training], labels[training])
        return lambda scored: {"tfidf": scorer([texts[i] for i in scored])}

    by_row, by_group = np.arange(300) // 60, crossfit.make_folds(GROUPS, labels, 5, seed=0)
    leaked = np.empty(300)
    for training, scored in crossfit.each_fold(by_row):
        leaked[scored] = fit_score(training)(scored)["tfidf"]
    assert auroc(labels, leaked) > 0.99, "the planted leak must be worth something, or catching it shows nothing"
    assert auroc(labels, learners.cross_fit(GROUPS, by_group, fit_score)["tfidf"]) < 0.75
    with pytest.raises(StageError, match="row 60: group g0 is in folds 0 and 1"):
        learners.cross_fit(GROUPS, by_row, fit_score)


def test_a_row_is_never_among_those_its_model_was_fitted_on() -> None:
    fold = crossfit.make_folds(GROUPS, LABELS, 4, seed=1)
    calls = []

    def fit_score(training: np.ndarray) -> Any:
        def score(scored: np.ndarray) -> dict[str, np.ndarray]:
            calls.append((set(training.tolist()), set(scored.tolist())))
            return {"place": scored.astype(float)}

        return score

    scores = learners.cross_fit(GROUPS, fold, fit_score)["place"]
    assert scores.tolist() == list(range(300)), "every score stands at its own row"
    assert len(calls) == 4 and all(not training & scored for training, scored in calls)


def test_threshold_and_calibration_come_from_the_other_folds() -> None:
    """One fold's labels are turned round: nothing that is decided about that fold may change."""
    rng = np.random.default_rng(2)
    odds = rng.normal(size=300) + LABELS
    fold = crossfit.make_folds(GROUPS, LABELS, 3, seed=0)
    turned = np.where(fold == 0, 1 - LABELS, LABELS)

    def rule(prob: np.ndarray, labels: np.ndarray) -> float:
        return float(prob[labels == 1].mean())

    before, after = (crossfit.calibrated(labels, odds, fold) for labels in (LABELS, turned))
    assert (before[fold == 0] == after[fold == 0]).all() and (before[fold == 1] != after[fold == 1]).any()
    first, second = (crossfit.decided(labels, before, fold, rule) for labels in (LABELS, turned))
    assert (first[fold == 0] == second[fold == 0]).all() and (first != second).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(0, 5))
def test_every_row_gets_a_fold(folds: int, seed: int) -> None:
    fold = crossfit.make_folds(GROUPS, LABELS, folds, seed)
    assert fold.min() == 0 and fold.max() == folds - 1


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 20), st.integers(0, 30), st.integers(0, 30), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_are_balanced_and_do_not_depend_on_the_order_of_rows(
    folds: int, more_first: int, more_second: int, seed: int, random: Random
) -> None:
    counts = (folds + more_first, folds + more_second)
    rows = [(f"{label}-{n}", label) for label, count in enumerate(counts) for n in range(count)]
    groups, labels = [group for group, _ in rows], np.array([label for _, label in rows])
    fold = crossfit.make_folds(groups, labels, folds, seed)
    sizes = np.bincount(fold, minlength=folds)
    assert len(sizes) == folds and np.ptp(sizes) <= 1, "no fold is empty, none is larger than it need be"
    for label in (0, 1):
        assert np.ptp(np.bincount(fold[labels == label], minlength=folds)) <= 1
        assert set(fold[labels == label].tolist()) == set(range(folds))
    order = list(range(len(rows)))
    random.shuffle(order)
    again = crossfit.make_folds([groups[i] for i in order], labels[order], folds, seed)
    assert (again == fold[order]).all()


def test_a_group_with_both_labels_lands_where_it_would_from_the_other_end() -> None:
    groups = [*GROUPS, "g0", "g1"]
    labels = np.array([*LABELS, 1 - LABELS[0], 1 - LABELS[1]])
    fold = crossfit.make_folds(groups, labels, 5, 0)
    assert (crossfit.make_folds(groups[::-1], labels[::-1], 5, 0)[::-1] == fold).all()


def test_more_folds_than_questions_of_a_label_are_refused() -> None:
    with pytest.raises(InputError, match=r"folds: 20 .*only 8 .*labelled Understanding"):
        crossfit.make_folds([f"g{n}" for n in range(58)], np.array([0] * 8 + [1] * 50), 20, 0)


def test_groups_that_share_a_stem_are_one() -> None:
    """The chain a - b - c: a and b ask in the same words, b and c were said to be copies."""
    groups, stems = ["a", "b", "b", "c", "d"], ["s", "s", "t", "t", "u"]
    found = crossfit.fold_groups(groups, stems)
    assert len(set(found[:4])) == 1 and found[4] == "d"
    assert crossfit.fold_groups(groups[::-1], stems[::-1])[::-1] == found, "whatever the order of rows"
    assert crossfit.fold_groups(["a", "b", "c"], ["1", "2", "3"]) == ["a", "b", "c"]
