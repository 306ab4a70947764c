"""The table's figures are scikit-learn's, its intervals follow groups, its differences are paired."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from components.classifier import evaluation as table
from components.classifier.card import majority_words, markdown, measured
from components.classifier.evaluation import make_folds
from components.classifier.metrics import choose_threshold

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 2, 300)
GROUPS = [f"g{n}" for n in range(300)]
GOOD, WEAK = LABELS + rng.normal(0, 0.8, 300), LABELS + rng.normal(0, 2.5, 300)
WORDS = rng.integers(5, 200, 300).astype(float)
FOLD = make_folds(GROUPS, LABELS, 5, 0)


def rule(prob: np.ndarray, labels: np.ndarray) -> float:
    return choose_threshold("balanced_accuracy", prob, labels)


JUDGED = {"tfidf": table.judge(LABELS, WEAK, FOLD, rule), "encoder": table.judge(LABELS, GOOD, FOLD, rule)}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6), st.integers(0, 4)), min_size=3, max_size=40))
def test_weighted_auroc_is_scikit_learns(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    assume(weights[labels == 1].sum() and weights[labels == 0].sum())
    ours = table.weighted_auroc(labels, scores.astype(float), weights[None].astype(float))[0]
    assert ours == pytest.approx(metrics.roc_auc_score(labels, scores, sample_weight=weights))


def test_estimates_are_those_of_scikit_learn() -> None:
    found = table.compare_classifiers(LABELS, GROUPS, JUDGED, seed=0, draws=200)
    for name, odds in (("tfidf", WEAK), ("encoder", GOOD)):
        judged, row = JUDGED[name], found[name]
        assert row["auroc"]["estimate"] == pytest.approx(metrics.roc_auc_score(LABELS, odds))
        assert row["balanced_accuracy"]["estimate"] == pytest.approx(
            metrics.balanced_accuracy_score(LABELS, judged.called)
        )
        assert row["accuracy"]["estimate"] == pytest.approx(metrics.accuracy_score(LABELS, judged.called))
        assert row["brier"]["estimate"] == pytest.approx(metrics.brier_score_loss(LABELS, judged.prob))
        for figure in row.values():
            assert figure["ci_low"] <= figure["estimate"] <= figure["ci_high"] or figure in (
                row["ece_before"],
                row["ece_after"],
            ), "the calibration error alone is biased upwards in a resample"
    assert found["encoder"]["auroc_minus_tfidf"]["ci_low"] > 0, "a planted difference is seen"
    assert found["tfidf"]["auroc_minus_tfidf"] == {"estimate": 0, "ci_low": 0, "ci_high": 0}


def test_copies_do_not_narrow_an_interval() -> None:
    one = table.compare_classifiers(LABELS, GROUPS, JUDGED, seed=0, draws=400)["encoder"]["auroc"]
    judged = {
        name: table.Judged(*(np.tile(a, 5) for a in (j.log_odds, j.raw, j.prob, j.called)))
        for name, j in JUDGED.items()
    }
    five = table.compare_classifiers(np.tile(LABELS, 5), GROUPS * 5, judged, seed=0, draws=400)["encoder"]["auroc"]
    assert five["ci_high"] - five["ci_low"] == pytest.approx(one["ci_high"] - one["ci_low"], rel=0.15)


def test_matching_takes_length_away() -> None:
    labels = rng.integers(0, 2, 600)
    words = 40 + 30 * labels + rng.normal(0, 20, 600)
    whole = metrics.roc_auc_score(labels, words)
    rows = table.length_matched(labels, words)
    assert whole > 0.8 and len(rows) > 100
    assert labels[rows].mean() == 0.5 and len(set(rows.tolist())) == len(rows)
    assert abs(metrics.roc_auc_score(labels[rows], words[rows]) - 0.5) < 0.05


def test_nothing_to_match_is_an_empty_subset() -> None:
    assert len(table.length_matched(np.array([1, 1, 0]), np.array([200.0, 300.0, 5.0]))) == 0


def test_the_constant_answer_knows_nothing() -> None:
    labels, fold = np.array([1, 1, 1, 0] * 2), np.repeat([0, 1], 4)
    judged = {"majority": table.constant(labels, fold)}
    row = table.compare_classifiers(labels, list("abcdefgh"), judged, 0, 50)["majority"]
    assert row["auroc"]["estimate"] == row["balanced_accuracy"]["estimate"] == 0.5
    assert row["accuracy"]["estimate"] == 0.75 and row["brier"]["estimate"] == pytest.approx(0.75 * 0.25)


def test_the_constant_answer_of_a_fold_comes_from_the_others() -> None:
    labels, fold = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.repeat([0, 1], 4)
    judged = table.constant(labels, fold)
    assert judged.prob.tolist() == [0.25] * 4 + [0.75] * 4
    assert judged.called.tolist() == [0] * 4 + [1] * 4
    assert set(judged.log_odds.tolist()) == {0.0}, "it ranks nothing: its AUROC is one half"


def test_a_card_says_what_ships_in_a_table_for_people() -> None:
    card = measured(LABELS, GROUPS, GROUPS, JUDGED, "encoder", WORDS, 0)
    card |= {"learner": "encoder", "model": "m", "threshold": 0.5, "threshold_rule": "balanced_accuracy"}
    text = markdown(card | {"measured_on": "out of fold"})
    assert "| **fine-tuned encoder** | 0." in text and "| TF-IDF + logistic regression | 0." in text
    assert text.startswith("AUROC at equal length: 0.") and "matched in length" in text
    assert card["confusion"]["matrix"] == metrics.confusion_matrix(LABELS, JUDGED["encoder"].called).tolist()


@pytest.mark.parametrize(("right", "words"), [(761, "cannot be told from"), (850, "beats"), (600, "is below")])
def test_beating_the_majority_follows_from_a_test(right: int, words: str) -> None:
    """760 of 1,000 are reasoning: 761 right is one question more and no evidence."""
    labels = (np.arange(1000) < 760).astype(int)
    wrong = np.random.default_rng(0).permutation(1000)[: 1000 - right]
    called = labels.copy()
    called[wrong] = 1 - called[wrong]
    names = [f"q{n}" for n in range(1000)]
    prob = np.full(1000, 0.5)
    judged = {
        "majority": table.Judged(np.zeros(1000), prob, prob, np.ones(1000, dtype=int)),
        "encoder": table.Judged(called.astype(float), prob, prob, called),
    }
    found = table.compare_classifiers(labels, names, judged, 0, 400)
    assert f" {words} always giving the more frequent answer (76.0%)" in majority_words(
        {"table": found, "learner": "encoder"}
    )
    assert majority_words({"learner": "released", "table": {"released": {}}}) == ""


def test_the_roc_of_a_card_has_the_area_that_it_names() -> None:
    card = measured(LABELS, GROUPS, GROUPS, JUDGED, "encoder", WORDS, 0)
    assert metrics.auc(card["roc"]["fpr"], card["roc"]["tpr"]) == pytest.approx(card["metrics"]["auroc"], abs=1e-4)
    assert card["metrics"]["auroc_equal_length"] == card["length_matched"]["auroc"]["encoder"]["estimate"]
