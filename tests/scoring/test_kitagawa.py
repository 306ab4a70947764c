"""Kitagawa's split: adds up to the pooled gap, and puts a benchmark mix where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.scoring.gaps.kitagawa import kitagawa

COUNTS = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


def split(rows: list[tuple[float, float, float, float]]) -> tuple[float, float]:
    within, between = kitagawa(np.array(rows, dtype=float))
    return float(within), float(between)


@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_parts_add_up_to_the_pooled_gap(counts: list[tuple[int, int, int, int]]) -> None:
    rows = [(a, a + b, c, c + d) for a, b, c, d in counts]
    right_k, all_k, right_r, all_r = np.sum(rows, axis=0)
    if all_k and all_r:
        assert sum(split(rows)) == pytest.approx(right_k / all_k - right_r / all_r)


def test_a_mix_of_benchmarks_is_all_between() -> None:
    """No gap inside either, most knowledge in the easy one (Simpson's paradox): 0 within, 36 points between."""
    assert split([(64, 80, 16, 20), (4, 20, 16, 80)]) == pytest.approx((0, 0.36))


def test_equal_shares_are_all_within() -> None:
    assert split([(40, 50, 30, 50), (20, 50, 10, 50)]) == pytest.approx((0.2, 0))


def test_a_benchmark_of_one_kind_has_no_gap_of_its_own() -> None:
    assert split([(40, 50, 0, 0), (20, 50, 40, 100)])[0] == pytest.approx(0)


def test_published_decomposition() -> None:
    """Two age groups with death rates and shares, worked by hand from the definition."""
    k, r = (0.6, 0.4), (0.3, 0.7)
    a_k, a_r = (0.8, 0.5), (0.7, 0.3)
    rows = [(a_k[b] * k[b] * 100, k[b] * 100, a_r[b] * r[b] * 100, r[b] * 100) for b in (0, 1)]
    within = 0.45 * 0.1 + 0.55 * 0.2
    assert split(rows) == pytest.approx((within, 0.3 * 0.75 - 0.3 * 0.4))
