"""Temperature scaling, calibration error and Brier score, against known answers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from components.classifier import calibration as cal

rng = np.random.default_rng(0)
ODDS = rng.normal(0.5, 1.5, 4000)
LABELS = (rng.random(4000) < cal.probabilities(ODDS)).astype(int)


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_a_planted_one(factor: float) -> None:
    assert cal.fit_temperature(LABELS, factor * ODDS) == pytest.approx(factor, rel=0.08)


def test_scaling_mends_the_calibration_error_and_keeps_the_order() -> None:
    sharp = 4 * ODDS
    before = cal.expected_calibration_error(LABELS, cal.probabilities(sharp))
    scaled = cal.probabilities(sharp, cal.fit_temperature(LABELS, sharp))
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
    assert 0 < cal.fit_temperature(np.ones(5), np.array([1.0, 2, 3, 4, 5])) < 0.1


def test_the_last_bits_of_a_fit_do_not_reach_the_probabilities() -> None:
    """Logistic regression ends a few units in the last place apart in a container and outside it."""
    assert (cal.probabilities(ODDS) == cal.probabilities(ODDS * (1 + 1e-13))).all()
