"""Calibration by slope and intercept, calibration error and Brier score, against known answers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from components.classifier import metrics as cal

rng = np.random.default_rng(0)
ODDS = rng.normal(0.5, 1.5, 4000)
LABELS = (rng.random(4000) < cal.probabilities(ODDS)).astype(int)


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_calibration_undoes_a_planted_one(factor: float) -> None:
    slope, intercept = cal.fit_calibration(LABELS, factor * ODDS - 1)
    assert 1 / slope == pytest.approx(factor, rel=0.08)
    assert intercept == pytest.approx(slope, abs=0.1)


def test_it_centres_which_a_temperature_cannot() -> None:
    shifted = ODDS + 1.5
    prob = cal.probabilities(shifted, *cal.fit_calibration(LABELS, shifted))
    assert prob.mean() == pytest.approx(LABELS.mean(), abs=0.002)


def test_scores_that_go_against_the_labels_are_not_turned_round() -> None:
    prob = cal.probabilities(-ODDS, *cal.fit_calibration(LABELS, -ODDS))
    assert (np.diff(prob[np.argsort(-ODDS)]) >= 0).all()
    assert prob.mean() == pytest.approx(LABELS.mean(), abs=0.01)


def test_labels_that_scores_part_wholly_give_finite_numbers() -> None:
    slope, intercept = cal.fit_calibration(np.array([0, 0, 0, 1, 1, 1]), np.array([-3.0, -2, -1, 1, 2, 3]))
    assert 0 < slope < 100 and abs(intercept) < 100


def test_scaling_mends_the_calibration_error_and_keeps_the_order() -> None:
    sharp = 4 * ODDS
    before = cal.expected_calibration_error(LABELS, cal.probabilities(sharp))
    scaled = cal.probabilities(sharp, *cal.fit_calibration(LABELS, sharp))
    assert before > 0.1 > 0.03 > cal.expected_calibration_error(LABELS, scaled)
    assert (np.diff(scaled[np.argsort(sharp)]) >= 0).all()
    assert cal.brier(LABELS, scaled) < cal.brier(LABELS, cal.probabilities(sharp))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=50))
def test_brier_is_scikit_learns_and_the_error_stays_in_range(rows: list[tuple[int, float]]) -> None:
    labels, prob = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert cal.brier(labels, prob) == pytest.approx(metrics.mean_squared_error(labels, prob))
    assert 0 <= cal.expected_calibration_error(labels, prob) <= 1


def test_the_error_by_hand() -> None:
    # Two bins of fifteen: 0.9 twice with one right (gap 0.4), 0.1 twice with none (gap 0.1).
    error = cal.expected_calibration_error(np.array([1, 0, 0, 0]), np.array([0.9, 0.9, 0.1, 0.1]))
    assert error == pytest.approx((0.4 * 2 + 0.1 * 2) / 4)


def test_one_label_only_is_no_error() -> None:
    odds = np.array([1.0, 2, 3, 4, 5])
    prob = cal.probabilities(odds, *cal.fit_calibration(np.ones(5, dtype=int), odds))
    assert (prob > 0.7).all() and (prob < 1).all(), "five of one kind are no proof that there is no other"


def test_the_last_bits_of_a_fit_do_not_reach_the_probabilities() -> None:
    """Logistic regression ends a few units in the last place apart in a container and outside it."""
    assert (cal.probabilities(ODDS) == cal.probabilities(ODDS * (1 + 1e-13))).all()
