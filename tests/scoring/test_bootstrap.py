"""The group bootstrap against closed forms, a plain resampling loop, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.scoring.bootstrap import Block, draw_sums, percentile_interval


def _gap(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3])


def _columns(right: np.ndarray, reasoning: np.ndarray, size: float = 1.0) -> np.ndarray:
    sides = [~reasoning, reasoning]
    return np.stack([c * size for side in sides for c in (right * side, side.astype(float))], axis=1)


def test_weights_are_poisson_one() -> None:
    drawn = draw_sums([Block(np.arange(200), np.eye(200))], 200, 2000, seed=1)[0]
    counts = np.bincount(drawn.astype(int).ravel(), minlength=6)[:6] / drawn.size
    assert counts == pytest.approx(stats.poisson(1).pmf(np.arange(6)), abs=0.002)
    assert np.abs(np.corrcoef(drawn[:, :20].T) - np.eye(20)).max() < 0.1


def test_blocks_share_their_draws_and_seeds_repeat() -> None:
    """A group in two benchmarks has the same multiplicity in both, whether its members are a range or not."""
    ones = np.ones((3, 1))
    blocks = [Block(np.array([0, 1, 2]), ones), Block(np.array([0, 2, 5]), ones), Block(np.array([1]), ones[:1])]
    whole, scattered, one = draw_sums(blocks, 6, 600, seed=2)
    only_one = draw_sums([Block(np.arange(6), np.eye(6))], 6, 600, seed=2)[0]
    assert (one[:, 0] == only_one[:, 1]).all()
    assert (whole[:, 0] == only_one[:, :3].sum(axis=1)).all()
    assert (scattered[:, 0] == only_one[:, [0, 2, 5]].sum(axis=1)).all()
    again = draw_sums(blocks, 6, 600, seed=3)[0]
    assert not (whole == again).all()


def test_agrees_with_drawing_groups_one_by_one() -> None:
    rng = np.random.default_rng(4)
    reasoning, right = rng.random(150) < 0.4, rng.random(150) < 0.6
    columns = _columns(right.astype(float), reasoning)
    ours = _gap(draw_sums([Block(np.arange(150), columns)], 150, 8000, seed=5)[0])
    plain = _gap(np.stack([columns[rng.integers(0, 150, 150)].sum(axis=0) for _ in range(8000)]))
    assert ours.std() == pytest.approx(plain.std(), rel=0.04)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_agrees_with_the_standard_error_of_two_proportions() -> None:
    right = np.r_[np.ones(300), np.zeros(200), np.ones(240), np.zeros(260)]
    reasoning = np.arange(1000) >= 500
    drawn = _gap(draw_sums([Block(np.arange(1000), _columns(right, reasoning))], 1000, 4000, seed=6)[0])
    assert drawn.std() == pytest.approx(np.sqrt(0.6 * 0.4 / 500 + 0.48 * 0.52 / 500), rel=0.04)


@pytest.mark.parametrize("copies", [1, 5])
def test_coverage_of_the_gap(copies: int) -> None:
    """93 to 97 % at nominal 95 %, 80 groups. Copies change no draw: their sums are multiples of one question's."""
    rng = np.random.default_rng(7)
    hits, trials = 0, 800
    for trial in range(trials):
        reasoning = rng.random(80) < 0.4
        right = (rng.random(80) < np.where(reasoning, 0.5, 0.7)).astype(float)
        drawn = draw_sums([Block(np.arange(80), _columns(right, reasoning, copies))], 80, 800, seed=trial)[0]
        low, high = percentile_interval(_gap(drawn), min(reasoning.sum(), (~reasoning).sum()))
        assert low is not None and high is not None
        hits += low <= 0.2 <= high
    assert 0.93 <= hits / trials <= 0.97


def test_an_interval_needs_two_groups_and_defined_draws() -> None:
    assert percentile_interval(np.zeros(100), 1) == (None, None)
    assert percentile_interval(np.r_[np.full(10, np.nan), np.zeros(90)], 50) == (None, None)
    low, high = percentile_interval(np.random.default_rng(8).normal(size=20_000), 10_000)
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.06)
