"""Score intervals of sums of means, Tango's, Holm's: against published figures, definitions, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from components.scoring.proportions import combine, copy_weights, holm, means, tango

Cell = tuple[tuple[int, ...], tuple[float, ...]]


def plain(right: tuple[int, int], n: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([np.r_[np.ones(r), np.zeros(k - r)] for r, k in zip(right, n, strict=True)])
    return values, np.repeat([0, 1], n)


def gap(values: np.ndarray, parts: np.ndarray, groups: np.ndarray | None = None):
    groups = np.arange(len(values)) if groups is None else groups
    found = combine(means(values, copy_weights(groups, parts), parts, groups, 2), np.array([1.0, -1.0]))
    assert found is not None and found.low is not None and found.high is not None
    return found


def test_difference_is_newcombes_published_example() -> None:
    """56/70 - 48/80 = 0.20 (0.0524 to 0.3339), method 10 of Newcombe 1998; ours with t on 148 degrees."""
    found = gap(*plain((56, 48), (70, 80)))
    assert (found.value, found.low, found.high) == pytest.approx((0.20, 0.0524, 0.3339), abs=0.002)


def test_all_right_against_all_wrong_has_a_width() -> None:
    found = gap(*plain((30, 0), (30, 10)))
    assert found.value == 1 and found.low < 0.8 and found.high == pytest.approx(1)
    level = gap(*plain((10, 10), (10, 10)))
    assert level.low < -0.2 and level.high > 0.2 and level.p == 1


def test_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = tuple(int(k) for k in rng.integers(3, 60, 2))
        found = gap(*plain((int(rng.integers(n[0] + 1)), int(rng.integers(n[1] + 1))), n))  # type: ignore[arg-type]
        assert found.p is not None
        if abs(found.p - 0.05) > 1e-6:
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_copies_of_a_question_are_one() -> None:
    """GPQA's five copies weigh as one question: neither estimate nor interval knows how many copies there are."""
    values, parts = plain((12, 9), (20, 20))
    once = gap(values, parts)
    copies = np.where(np.arange(40) % 3 == 0, 5, 1)
    groups = np.repeat(np.arange(40), copies)
    again = gap(values[groups], parts[groups], groups)
    assert (again.value, again.low, again.high, again.p) == pytest.approx((once.value, once.low, once.high, once.p))


def test_shared_groups_widen_a_mean_and_narrow_a_difference() -> None:
    rng = np.random.default_rng(2)
    half = (rng.random(60) < 0.6).astype(float)
    values, parts = np.r_[half, half], np.repeat([0, 1], 60)
    apart, shared = np.arange(120), np.tile(np.arange(60), 2)
    widths = {}
    for name, groups in (("apart", apart), ("shared", shared)):
        found = means(values, np.ones(120), parts, groups, 2)
        for sign in (1.0, -1.0):
            whole = combine(found, np.array([0.5, 0.5 * sign]))
            assert whole is not None and whole.low is not None and whole.high is not None
            widths[name, sign] = whole.high - whole.low
    assert widths["shared", 1.0] == pytest.approx(math.sqrt(2) * widths["apart", 1.0], rel=0.03)
    assert 0 < widths["shared", -1.0] < 0.3 * widths["apart", -1.0]


def test_tango_inverts_the_score_test() -> None:
    """At its limits the constrained likelihood, maximised numerically, gives the statistic z."""
    gained, lost, n, z = 9, 3, 40, 1.96
    for limit in tango(gained / n, lost / n, n, z):

        def minus_likelihood(down: float, delta: float = limit) -> float:
            return -(
                gained * math.log(down + delta) + lost * math.log(down) + (n - 12) * math.log(1 - 2 * down - delta)
            )

        low, high = max(0.0, -limit) + 1e-9, (1 - limit) / 2 - 1e-9
        down = optimize.minimize_scalar(
            minus_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-10}
        ).x
        statistic = (gained - lost - n * limit) / math.sqrt(n * (2 * down + limit - limit**2))
        assert abs(statistic) == pytest.approx(z, abs=1e-4)


def test_tango_without_any_change() -> None:
    z = 1.96
    assert tango(0.0, 0.0, 50, z) == pytest.approx((-(z**2) / (50 + z**2), z**2 / (50 + z**2)))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_its_steps_reject(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True)) and max(adjusted) <= 1
    for level in (0.01, 0.05, 0.3):
        rejected, ordered = set(), sorted(range(len(p)), key=lambda k: p[k])
        for step, place in enumerate(ordered):
            if p[place] * (len(p) - step) > level:
                break
            rejected.add(place)
        assert {k for k, value in enumerate(adjusted) if value <= level} == rejected


def coverage(
    sizes: tuple[int, ...], truth: tuple[float, ...], coefficients: np.ndarray, copies: int, runs: int
) -> float:
    """How often the interval of coefficients x means holds the truth."""
    rng = np.random.default_rng(hash((sizes, truth, copies)) % 2**32)
    parts, groups = np.repeat(np.arange(len(sizes)), sizes), np.arange(sum(sizes))
    group = np.repeat(groups, copies)
    weights = copy_weights(group, parts[group])
    aim, hits = float(coefficients @ truth), 0
    for _ in range(runs):
        chance = rng.beta(8 * np.array(truth), 8 * (1 - np.array(truth)), (sum(sizes), len(truth)))
        p = chance[groups, parts] if copies > 1 else np.array(truth)[parts]
        values = (rng.random(len(group)) < p[group]).astype(float)
        found = combine(means(values, weights, parts[group], group, len(sizes)), coefficients)
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= aim <= found.high
    return hits / runs


GAPS: list[Cell] = [((30, 10), (0.95, 0.1)), ((5, 200), (0.9, 0.3)), ((100, 100), (0.7, 0.5)), ((20, 20), (0.9, 0.9))]
MACROS: list[Cell] = [
    ((300, 200, 2), (0.5, 0.6, 0.9)),
    ((300, 300, 10), (0.5, 0.8, 0.1)),
    ((80, 60, 40), (0.7, 0.6, 0.4)),
]


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize(("sizes", "truth"), GAPS)
def test_coverage_of_a_gap(sizes: tuple[int, ...], truth: tuple[float, ...], copies: int) -> None:
    assert coverage(sizes, truth, np.array([1.0, -1.0]), copies, 500) >= 0.93


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize(("sizes", "truth"), MACROS)
def test_coverage_of_a_macro_mean(sizes: tuple[int, ...], truth: tuple[float, ...], copies: int) -> None:
    """The linearised interval covered 19 to 85 % where one benchmark has 1 to 10 questions."""
    assert coverage(sizes, truth, np.full(len(sizes), 1 / len(sizes)), copies, 400) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("p", [(0.5, 0.5), (0.9, 0.8), (0.95, 0.3), (0.2, 0.1), (0.99, 0.97)])
@pytest.mark.parametrize("sizes", [(5, 5), (5, 50), (10, 30), (30, 30), (200, 20), (400, 400)])
def test_coverage_of_gaps_over_a_grid(sizes: tuple[int, int], p: tuple[float, float]) -> None:
    for copies in (1, 3):
        assert coverage(sizes, p, np.array([1.0, -1.0]), copies, 3000) >= 0.93, copies


@pytest.mark.slow
@pytest.mark.parametrize("small", [2, 3, 5, 10])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 0.97])
def test_coverage_of_macro_means_over_a_grid(small: int, p: float) -> None:
    for sizes, truth in (((500, small), (0.6, p)), ((300, 200, 100, small), (0.8, 0.6, 0.4, p))):
        assert coverage(sizes, truth, np.full(len(sizes), 1 / len(sizes)), 1, 3000) >= 0.93


def test_binomial_limits_are_wilsons() -> None:
    """One part alone, at a large number: the normal and t quantiles agree, and so does scipy."""
    values = np.r_[np.ones(4000), np.zeros(6000)]
    found = combine(means(values, np.ones(10_000), np.zeros(10_000, dtype=int), np.arange(10_000), 1), np.ones(1))
    expected = stats.binomtest(4000, 10_000).proportion_ci(method="wilson")
    assert found is not None and (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
