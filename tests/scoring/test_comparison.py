"""The side-by-side record: its three tests agree, and McNemar's keeps silent where questions are copied."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.scoring.gate.comparison import comparisons
from components.scoring.outcomes import ADVERSARIAL, Outcomes
from tests.scoring.gate_simulation import Truth, answers, world


def _cells(gain: float, copies: int = 1, seed: int = 1) -> dict[tuple[str, str], dict]:
    rng = np.random.default_rng(seed)
    w = world(rng, copies=copies)
    found = comparisons(w.table, answers(rng, w), answers(rng, w, Truth(gain, gain, gain, gain)), 0.025, draws=4000)
    return {(record["setting"], record["stratum"]): record for record in found}


@pytest.mark.parametrize("gain", [-0.05, 0.0, 0.04])
def test_three_tests_agree(gain: float) -> None:
    cell = _cells(gain)["plain", "all"]
    assert cell["p_sign_flip"] == pytest.approx(cell["p"], abs=0.05)
    assert cell["p_mcnemar"] == pytest.approx(cell["p"], abs=0.05)
    assert (cell["ci_low"] > 0 or cell["ci_high"] < 0) == (cell["p"] < 0.05)
    assert cell["ci_low"] < cell["estimate"] < cell["ci_high"]


def test_two_sided_p_is_near_scipys_t_and_never_below_mcnemars() -> None:
    rng = np.random.default_rng(2)
    w = world(rng, items=300)
    old, new = answers(rng, w), answers(rng, w)
    found = comparisons(w.table, old, new, 0.025, draws=200)[0]
    expected = stats.ttest_rel(new["plain"].correct, old["plain"].correct)
    assert found["p"] == pytest.approx(expected.pvalue, abs=0.08)
    assert found["p"] >= found["p_mcnemar"] - 1e-12


def test_mcnemar_is_left_out_with_copies_and_for_means_of_three() -> None:
    assert _cells(0.05, copies=5)["plain", "all"]["p_mcnemar"] is None
    cells = _cells(0.05)
    assert cells["plain", "all"]["p_mcnemar"] is not None
    assert cells[ADVERSARIAL, "all"]["p_mcnemar"] is None


def test_equal_answers() -> None:
    rng = np.random.default_rng(3)
    w = world(rng, items=50)
    old = answers(rng, w)
    for record in comparisons(w.table, old, old, 0.025, draws=200):
        assert record["estimate"] == 0 and record["p"] == record["p_sign_flip"] == 1.0
        assert record["ci_low"] < 0 < record["ci_high"] and record["detectable"] is None


def test_cells_that_one_side_lacks_are_left_out() -> None:
    rng = np.random.default_rng(4)
    w = world(rng, items=50)
    old, new = answers(rng, w), answers(rng, w)
    nothing = np.full(50, np.nan)
    assert not comparisons(w.table, {"plain": Outcomes(nothing, nothing, nothing)}, new, 0.025)
    assert {r["setting"] for r in comparisons(w.table, {"plain": old["plain"]}, new, 0.025, draws=100)} == {"plain"}
