"""The paired score test: its exact error, its monotony, and that it needs no special case where nothing differs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from components.scoring.gate.paired import (
    Paired,
    _satterthwaite,
    constrained_z,
    exact_p,
    null_distribution,
    paired,
    sign_p,
    tail_probability,
    tango_z,
)
from components.scoring.gate.rules import Rules
from tests.scoring.exact import counts, error, rejected

MARGIN = Rules().margin
GAINS = np.linspace(0, 0.1, 21)
LEVELS = [Rules(look=k).level for k in (1, 2, 4, 13, 26, 52)] + [
    Rules(look=1, schedule="horizon", horizon=h).level for h in (26, 52)
]
THIRDS = np.array([-3, -2, -1, 0, 1, 2, 3]) / 3


def trinomial(gained: int, lost: int, n: int) -> Paired:
    shares = {-1.0: lost, 0.0: n - gained - lost, 1.0: gained}
    kept = {value: count for value, count in shares.items() if count}
    return Paired(np.array(list(kept)), np.array(list(kept.values()), dtype=float), n, n)


@pytest.mark.parametrize("n", [50, 65, 100, 150, 200, 250, 500, 1000])
@pytest.mark.parametrize("bound", [-MARGIN, 0.0])
def test_exact_error_is_the_level(n: int, bound: float) -> None:
    """Enumerated over all tables, gains from 0 to 10 %, looks 1 to 52 of both schedules."""
    for level in LEVELS if n > 200 or bound == 0 else LEVELS[:1] + LEVELS[-1:]:
        assert error(n, bound, level, GAINS).max() <= 1.05 * level


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05])
def test_exact_error_at_other_margins(margin: float) -> None:
    for n in (55, 225, 400):
        for level in (0.025, 0.05 / 26):
            assert error(n, -margin, level, GAINS).max() <= 1.05 * level


def test_the_enumeration_rejects_what_the_test_rejects() -> None:
    for bound in (-MARGIN, -0.2, 0.0):
        reach = rejected(25, bound, 0.05)
        for gained in range(26):
            for lost in range(26 - gained):
                assert reach[lost, gained] == (trinomial(gained, lost, 25).p_above(bound) <= 0.05)


@pytest.mark.parametrize("bound", [-MARGIN, -0.1, 0.0])
def test_monotone_in_gained_and_lost_for_all_n(bound: float) -> None:
    """One more gain never hurts, one more loss never helps: at every n up to 300 and every level."""
    for n in range(1, 301):
        gained, lost, exists = counts(n)
        z = np.where(exists, tango_z(gained, lost, n, bound), np.nan)
        assert not (np.diff(z, axis=1) < -1e-9).any(), n
        assert not (np.diff(z, axis=0) > 1e-9).any(), n


@pytest.mark.parametrize("bound", [-MARGIN, 0.0])
def test_p_is_monotone_with_its_corrections(bound: float) -> None:
    n = 24
    p = np.full((n + 1, n + 1), np.nan)
    for gained in range(n + 1):
        for lost in range(n + 1 - gained):
            p[lost, gained] = trinomial(gained, lost, n).p_above(bound)
    assert not (np.diff(p, axis=1) > 1e-9).any() and not (np.diff(p, axis=0) < -1e-9).any()


def test_one_loss_is_not_better_than_none() -> None:
    """100 questions: none lost was refused and one lost promoted."""
    none, one, two = (trinomial(0, lost, 100).p_above(-MARGIN) for lost in (0, 1, 2))
    assert 0.025 < none < one < two


def test_identical_answers() -> None:
    """By chance alone no loss is seen among n questions with probability 0.97^n: what that allows is claimed."""
    for n in (20, 100, 122, 126, 1000, 12_000):
        found = trinomial(0, 0, n)
        assert found.p_above(-MARGIN) >= 0.97**n
        assert found.p_above(0.0) == 1.0 and np.isnan(trinomial(0, 0, 1).detectable(0.025))
    assert trinomial(0, 0, 100).p_above(-MARGIN) > 0.025 >= trinomial(0, 0, 126).p_above(-MARGIN)
    assert trinomial(0, 0, 20).lower(0.025) < -0.1 and -0.005 < trinomial(0, 0, 2000).lower(0.025) < 0


@given(st.integers(2, 400), st.data(), st.floats(-0.9, 0.9))
def test_the_null_distribution_is_the_likeliest(n: int, data: st.DataObject, bound: float) -> None:
    """The general form gives Tango's closed form where differences are -1, 0 and 1."""
    # A bound of 1e-12 counts as met by equal shares; without a single flip z is its square root, which is not 0.
    assume(bound == 0 or abs(bound) > 1e-9)
    lost = data.draw(st.integers(0, n))
    gained = data.draw(st.integers(0, n - lost))
    found = trinomial(gained, lost, n)
    expected = float(tango_z(gained, lost, n, bound))
    assert constrained_z(found.values, found.counts, bound) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    support, shares = null_distribution(found.values, found.counts / n, bound)
    assert shares.sum() == pytest.approx(1, abs=1e-6) and (shares >= -1e-9).all()
    assert support @ shares == pytest.approx(bound, abs=1e-6)


def test_the_null_distribution_of_thirds_against_a_numerical_maximum() -> None:
    seen = np.array([4, 6, 20, 150, 22, 9, 8.0])
    found = null_distribution(THIRDS, seen / seen.sum(), -0.05)[1]
    limits = [
        {"type": "eq", "fun": lambda p: p.sum() - 1},
        {"type": "eq", "fun": lambda p: p @ THIRDS + 0.05},
    ]
    best = optimize.minimize(
        lambda p: -(seen @ np.log(p)), np.full(7, 1 / 7), bounds=[(1e-9, 1)] * 7, constraints=limits, tol=1e-12
    )
    assert found == pytest.approx(best.x, abs=1e-3)


def test_exact_parts_are_scipys() -> None:
    assert sign_p(12, 5) == pytest.approx(stats.binomtest(12, 17, alternative="greater").pvalue)
    assert sign_p(0, 0) == 1.0
    n, first = 9, np.array([3, 4, 5, 6, 7, 10, 10, 10, 10, 10])
    whole = sum(
        stats.multinomial(n, [0.2, 0.3, 0.5]).pmf([lost, gained, n - lost - gained])
        for lost in range(n + 1)
        for gained in range(n + 1 - lost)
        if gained >= first[lost]
    )
    assert tail_probability(first, n, np.array([0.2]), np.array([0.3]))[0] == pytest.approx(whole)
    assert exact_p(0, 0, 60, -0.05) >= 0.95**60


def test_near_the_t_test_on_many_questions() -> None:
    rng = np.random.default_rng(7)
    base, new = (rng.random(3000) < 0.5).astype(float), (rng.random(3000) < 0.53).astype(float)
    found = paired(new, base, np.arange(3000))
    assert found is not None
    assert found.p_above(0.0) == pytest.approx(stats.ttest_rel(new, base, alternative="greater").pvalue, rel=0.2)
    interval = stats.ttest_rel(new, base).confidence_interval(0.95)
    assert (found.lower(0.025), found.upper(0.025)) == pytest.approx((interval.low, interval.high), abs=5e-4)


# Rare large gains that pay for frequent small losses are the hard case: their tail is heavier than the normal one.
FRACTIONS = {
    "small flips": {1 / 3: 0.05, -1 / 3: 0.14},
    "large gains, small losses": {1.0: 0.05, -1 / 3: 0.24},
    "small gains, large losses": {1 / 3: 0.06, -1.0: 0.05},
    "5 % discordant": {1.0: 0.005, 1 / 3: 0.005, -1.0: 0.03, -2 / 3: 0.01},
    "20 % discordant": {2 / 3: 0.05, 1 / 3: 0.035, -2 / 3: 0.08, -1 / 3: 0.065},
}


@pytest.mark.parametrize("n", [130, 400])
@pytest.mark.parametrize("name", FRACTIONS)
def test_error_with_means_of_three_prefills(name: str, n: int) -> None:
    shares = dict(FRACTIONS[name])
    values = np.array(sorted({0.0, *shares}))
    probabilities = np.array([shares.get(v, 1 - sum(shares.values())) for v in values])
    drawn, times = np.unique(
        np.random.default_rng(12).multinomial(n, probabilities, size=2000), axis=0, return_counts=True
    )
    truth = float(values @ probabilities)
    p = np.array([Paired(values[c > 0], c[c > 0].astype(float), n, n).p_above(truth) for c in drawn])
    for level in (0.025, 0.025 / 3):
        assert times[p <= level].sum() / 2000 <= level + 3 * np.sqrt(level / 2000)


SIZES = {
    "a few large groups": np.repeat([60, 1], [5, 200]),
    "five copies beside single questions": np.repeat([5, 1], [60, 150]),
    "two sizes": np.repeat([1, 2], [110, 110]),
}


@pytest.mark.parametrize("discordant", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("name", SIZES)
def test_error_with_unequal_groups(name: str, discordant: float) -> None:
    """Large groups lose twice the margin, small ones make up for it, weighed by items: the loss is at the margin."""
    rng, sizes = np.random.default_rng(13), SIZES[name]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    large = sizes > 1
    rest = MARGIN * sizes[large].sum() / sizes[~large].sum() - MARGIN
    truth = np.where(large, -2 * MARGIN, rest)
    assert truth @ sizes / sizes.sum() == pytest.approx(-MARGIN)
    spread = np.maximum(discordant, np.abs(truth))
    claims = 0
    for _ in range(250):
        draw = rng.random(len(sizes))
        flipped = np.where(draw < (spread + truth) / 2, 1.0, np.where(draw > 1 - (spread - truth) / 2, -1.0, 0.0))
        found = paired(flipped[groups], np.zeros(len(groups)), groups)
        assert found is not None
        claims += found.p_above(-MARGIN) <= 0.05
    assert claims / 250 <= 0.05 + 3 * np.sqrt(0.05 / 250)


def test_satterthwaite_against_the_matrix() -> None:
    sizes = np.array([1, 1, 2, 3, 5, 9.0])
    share = sizes / sizes.sum()
    weight = np.diag(share / np.sqrt(1 - share))
    centre = np.eye(6) - np.outer(np.ones(6), share)
    b = weight @ centre @ centre.T @ weight
    assert _satterthwaite(share) == pytest.approx(np.trace(b) ** 2 / np.trace(b @ b))
    assert _satterthwaite(np.full(40, 1 / 40)) == pytest.approx(39)


def test_copies_change_nothing() -> None:
    rng = np.random.default_rng(14)
    new, base = ((rng.random(90) < p).astype(float) for p in (0.6, 0.5))
    one = paired(new, base, np.arange(90))
    five = paired(np.repeat(new, 5), np.repeat(base, 5), np.repeat(np.arange(90), 5))
    assert one is not None and five is not None
    assert (five.n, five.groups) == (450, 90) and five.p_above(-MARGIN) == one.p_above(-MARGIN)
    assert five.lower(0.025) == one.lower(0.025)


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([-1.0, -1 / 3, 0.0, 0.0, 0.0, 1 / 3, 1.0]), min_size=2, max_size=60),
    st.sampled_from([-0.2, -0.03, 0.0, 0.1]),
    st.sampled_from([0.05, 0.025, 0.0019]),
    st.booleans(),
)
def test_bound_and_p_say_the_same(differences: list[float], bound: float, level: float, copies: bool) -> None:
    values = np.array(differences)
    groups = np.arange(len(values)) // 2 if copies else np.arange(len(values))
    found = paired(values, np.zeros(len(values)), groups)
    assert found is not None
    low = found.lower(level, bound)
    if abs(low - bound) > 1e-4:
        assert (found.p_above(bound) <= level) == (low > bound)
    assert low <= found.estimate + 1e-6
    assert found.lower(level) == pytest.approx(-found.swapped().upper(level), abs=1e-5)


def test_detectable_effect_is_detected_as_often_as_it_says() -> None:
    rng = np.random.default_rng(10)
    first = paired((rng.random(600) < 0.5).astype(float), (rng.random(600) < 0.5).astype(float), np.arange(600))
    assert first is not None
    effect = first.detectable(0.05)
    base, new = rng.random((1500, 600)) < 0.5, rng.random((1500, 600)) < 0.5 + effect
    found = [paired(n.astype(float), b.astype(float), np.arange(600)) for n, b in zip(new, base, strict=True)]
    assert np.mean([f is not None and f.p_above(0.0) <= 0.05 for f in found]) == pytest.approx(0.8, abs=0.04)


def test_nothing_to_compare() -> None:
    assert paired(np.array([np.nan]), np.array([1.0]), np.array([0])) is None
    single = paired(np.array([1.0]), np.array([0.0]), np.array([0]))
    assert single is not None and single.p_above(0.0) == 1.0 and single.lower(0.025) == -1.0
    assert trinomial(5, 5, 100).lower(0.0) == -1.0
