"""Intervals and tests against scipy's, against each other, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from components.scoring.gate.paired import paired
from components.scoring.intervals import (
    accuracy_interval,
    macro_interval,
    mcnemar_exact,
    robust_se,
    sign_flip_p,
    wilson,
)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (3, 10), (50, 80), (799, 1000)])
def test_wilson_is_scipys(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    values = np.array([1.0] * right + [0.0] * (n - right))
    found = accuracy_interval(values, np.arange(n))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.method == "wilson"


def test_robust_se_without_copies_is_the_usual_standard_error() -> None:
    values = np.random.default_rng(1).random(50)
    assert robust_se(values, np.ones(50)) == pytest.approx(stats.sem(values))


def test_copies_change_neither_se_nor_interval() -> None:
    """Five copies of a question are one observation: the interval is that of the question set without copies."""
    rng = np.random.default_rng(2)
    once = (rng.random(120) < 0.6).astype(float)
    five, groups = np.repeat(once, 5), np.repeat(np.arange(120), 5)
    assert robust_se(np.bincount(groups, five), np.full(120, 5.0)) == pytest.approx(stats.sem(once))
    single, copied = accuracy_interval(once, np.arange(120)), accuracy_interval(five, groups)
    assert single is not None and copied is not None
    assert copied.method == "group_robust"
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high), abs=0.004)
    naive = accuracy_interval(five, np.arange(600))
    assert naive is not None and (naive.high - naive.low) < 0.5 * (copied.high - copied.low)


def test_robust_se_of_unequal_groups_is_the_ratio_estimators() -> None:
    """Against the jackknife over groups, an independent route to the same standard error."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, 300).astype(float)
    sums = rng.binomial(sizes.astype(int), 0.4).astype(float)
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    jackknife = math.sqrt(299 / 300 * ((left_out - left_out.mean()) ** 2).sum())
    assert robust_se(sums, sizes) == pytest.approx(jackknife, rel=0.02)


def test_all_right_in_copies_counts_groups_not_items() -> None:
    found = accuracy_interval(np.ones(50), np.repeat(np.arange(10), 5))
    assert found is not None and found.method == "wilson_groups"
    assert (found.low, found.high) == pytest.approx(wilson(10, 10, stats.norm.ppf(0.975)))


def test_no_items_no_interval() -> None:
    assert accuracy_interval(np.empty(0), np.empty(0, dtype=np.int64)) is None


@pytest.mark.parametrize("copies", [1, 5])
@pytest.mark.parametrize("p", [0.25, 0.5, 0.8])
def test_coverage_of_accuracy(p: float, copies: int) -> None:
    """93 to 97 % at nominal 95 %, from 80 groups, with and without copies."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(80), copies)
    hits = 0
    for right in rng.random((2000, 80)) < p:
        found = accuracy_interval(np.repeat(right.astype(float), copies), groups)
        assert found is not None
        hits += found.low <= p <= found.high
    assert 0.93 <= hits / 2000 <= 0.97


def test_coverage_of_unequal_groups() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(2000):
        groups = np.repeat(np.arange(80), rng.integers(1, 6, 80))
        chance = rng.beta(1.2, 0.8, 80)
        found = accuracy_interval((rng.random(len(groups)) < chance[groups]).astype(float), groups)
        assert found is not None
        hits += found.low <= 0.6 <= found.high
    assert 0.93 <= hits / 2000 <= 0.97


def test_coverage_of_macro_mean() -> None:
    """Two benchmarks that share their questions (as the two Medbullets do) and one that does not."""
    rng = np.random.default_rng(6)
    truth = np.array([0.7, 0.6, 0.4])
    parts = np.repeat([0, 1, 2], [60, 60, 40])
    groups = np.concatenate([np.arange(60), np.arange(60), np.arange(60, 100)])
    hits = 0
    for _ in range(2000):
        shared = rng.random(60)
        draws = np.concatenate([shared, shared, rng.random(40)])
        found = macro_interval((draws < truth[parts]).astype(float), groups, parts)
        assert found is not None
        hits += found.low <= truth.mean() <= found.high
    assert 0.93 <= hits / 2000 <= 0.97


@pytest.mark.parametrize("gain", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("copies", [1, 4])
def test_sign_flips_agree_with_t(gain: float, copies: int) -> None:
    rng = np.random.default_rng(8)
    base, new = rng.random(400) < 0.5, rng.random(400) < 0.5 + gain
    groups = np.repeat(np.arange(400), copies)
    pair = [np.repeat(x.astype(float), copies) for x in (new, base)]
    found = paired(pair[0], pair[1], groups)
    assert found is not None
    # Sums of signs come in steps; a tie counts half, as it does in the smooth t distribution.
    better, worse = (sign_flip_p(*order, groups) for order in (pair, pair[::-1]))
    assert (better + 1 - worse) / 2 == pytest.approx(found.p_above(0.0), abs=0.03)


def test_item_level_test_of_copies_is_wrong_and_the_group_test_is_not() -> None:
    """GPQA's five copies: McNemar on items calls a difference far too often, the group test as often as it says."""
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(78), 5)
    by_item = by_group = 0
    for _ in range(1000):
        new, base = (np.repeat(rng.random(78) < 0.5, 5).astype(float) for _ in range(2))
        gained, lost = int((new > base).sum()), int((new < base).sum())
        by_item += mcnemar_exact(gained, lost) <= 0.05
        found = paired(new, base, groups)
        assert found is not None
        by_group += 2 * min(found.p_above(0.0), found.swapped().p_above(0.0)) <= 0.05
    assert by_item / 1000 > 0.2
    assert 0.02 <= by_group / 1000 <= 0.06


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (12, 7), (30, 31)])
def test_mcnemar_is_the_binomial_test(gained: int, lost: int) -> None:
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar_exact(gained, lost) == pytest.approx(expected)
