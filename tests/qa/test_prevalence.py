"""The corrected share finds the true one, and its interval covers it; the curve falls with the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.qa import prevalence


@given(st.floats(0, 1), st.floats(0.55, 1), st.floats(0.55, 1))
def test_it_undoes_the_judges_errors(true: float, sensitivity: float, specificity: float) -> None:
    measured = true * sensitivity + (1 - true) * (1 - specificity)
    assert prevalence.rogan_gladen(measured, sensitivity, specificity) == pytest.approx(true, abs=1e-9)


def test_by_hand_clipped_and_undefined() -> None:
    assert prevalence.rogan_gladen(0.3, 0.8, 0.9) == pytest.approx(2 / 7)
    assert prevalence.rogan_gladen(0.05, 0.8, 0.9) == 0.0
    assert prevalence.rogan_gladen(0.95, 0.8, 0.9) == 1.0
    assert np.isnan(prevalence.rogan_gladen(0.5, 0.4, 0.6)), "a judge no better than chance says nothing"


def test_the_interval_covers_the_truth_at_about_its_level() -> None:
    """Planted share 0.3, a judge with sensitivity 0.8 and specificity 0.75, measured on 200 labelled questions."""
    rng = np.random.default_rng(0)
    covered, raw = 0, 0
    for seed in range(200):
        truth = rng.random(400) < 0.3
        flags = np.where(truth, rng.random(400) < 0.8, rng.random(400) < 0.25).astype(float)
        labels = (rng.random(200) < 0.6).astype(int)
        called = np.where(labels == 1, rng.random(200) < 0.8, rng.random(200) < 0.25).astype(int)
        names = [f"a{n}" for n in range(400)]
        found = prevalence.corrected_share(flags, names, labels, called, [f"b{n}" for n in range(200)], seed, n=300)
        covered += found["ci_low"] <= 0.3 <= found["ci_high"]
        raw += abs(flags.mean() - 0.3) < 0.05
    assert covered >= 182, f"{covered} of 200 intervals hold the true share"
    assert raw < 30, "uncorrected, the share is off: otherwise this test shows nothing"


def test_copies_are_not_evidence() -> None:
    rng = np.random.default_rng(1)
    flags, labels = rng.integers(0, 2, 100).astype(float), rng.integers(0, 2, 100)
    called = np.where(rng.random(100) < 0.85, labels, 1 - labels)
    names = [str(n) for n in range(100)]
    one = prevalence.corrected_share(flags, names, labels, called, names, 0)
    five = prevalence.corrected_share(
        np.tile(flags, 5), names * 5, np.tile(labels, 5), np.tile(called, 5), names * 5, 0
    )
    widths = [found["ci_high"] - found["ci_low"] for found in (one, five)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_the_curve_falls_and_is_crossed() -> None:
    prob = np.array([0.1, 0.4, 0.6, 0.9, 0.2])
    curve = prevalence.share_curve(prob, ["a", "a", "a", "a", "b"])
    assert curve["pooled"][0] == curve["macro"][0] == 1.0 and curve["pooled"][-1] == 0.0
    assert curve["pooled"][50] == 0.4 and curve["macro"][50] == 0.25
    assert all(x >= y for x, y in zip(curve["pooled"], curve["pooled"][1:], strict=False))
    assert prevalence.crossing(curve, 0.4) == 0.41
