"""A known gap behind a classifier's errors: what attenuates it, and what covers it at AUROC 0.75 to 0.9."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from components.scoring.gaps.label_error import (
    Errors,
    attenuation_hard,
    attenuation_soft,
    gap_bounds,
    matrix_factor,
    matrix_gap,
    slope_gap,
)
from components.scoring.gaps.labelled import Subsample, labelled_gap
from components.scoring.proportions import Estimate

SHARE, GAP = 0.33, 0.2


@dataclass(frozen=True)
class World:
    """Answers y, truths t and calibrated probabilities p of n questions; groups of `copies`."""

    y: np.ndarray
    t: np.ndarray
    p: np.ndarray
    groups: np.ndarray

    @property
    def ones(self) -> np.ndarray:
        return np.ones(len(self.y))

    @property
    def one_part(self) -> np.ndarray:
        return np.zeros(len(self.y), dtype=np.int64)


def world(rng: np.random.Generator, n: int, auroc: float, copies: int = 1, differential: float = 0.0) -> World:
    """Two normal scores `d` apart, so that log-odds are linear in them and p is calibrated.

    `differential` makes answers fall with p beyond what t explains: the assumption of slope and matrix broken.
    """
    d = np.sqrt(2) * norm.ppf(auroc)
    t = (rng.random(n) < SHARE).astype(float)
    p = expit(logit(SHARE) + d * rng.normal(d * t) - d * d / 2)
    right = np.clip(0.7 - GAP * t - differential * (p - p.mean()), 0, 1)
    y = (rng.random((copies, n)) < right).astype(float).T.ravel()
    return World(y, np.repeat(t, copies), np.repeat(p, copies), np.repeat(np.arange(n), copies))


def hits(found: Estimate | None, aim: float = GAP) -> bool:
    assert found is not None and found.low is not None and found.high is not None
    return found.low <= aim <= found.high


def slope(w: World) -> Estimate:
    found = slope_gap(w.y, w.p, w.ones, w.groups, w.one_part)
    assert found is not None
    return found.estimate()


def matrix(w: World, validation: World) -> Estimate | None:
    called, judged = w.p >= 0.5, validation.p >= 0.5
    k, r = w.y[~called], w.y[called]
    sensitivity, specificity = judged[validation.t == 1], ~judged[validation.t == 0]
    errors = Errors(
        sensitivity.mean(), specificity.mean(), *(x.std() / np.sqrt(len(x)) for x in (sensitivity, specificity))
    )
    se = np.sqrt(k.var() / len(k) + r.var() / len(r))
    return matrix_gap(k.mean() - r.mean(), se, called.mean(), len(w.y), errors)


def drawn(rng: np.random.Generator, w: World, size: int, distort: float = 1.0) -> Estimate | None:
    """About `size` questions labelled, more where p is unsure; p reported as p ** distort, no longer calibrated."""
    first = np.unique(w.groups, return_index=True)[1]
    chance = np.sqrt(w.p * (1 - w.p))[first]
    chance = np.minimum(1, size * chance / chance.sum())
    picked = rng.random(len(first)) < chance
    sample = Subsample(w.p**distort, np.where(picked, w.t[first], np.nan)[w.groups], chance[w.groups])
    return labelled_gap(w.y, sample, w.ones / np.bincount(w.groups)[w.groups], w.groups)


def test_world_is_what_it_says() -> None:
    w = world(np.random.default_rng(0), 200_000, 0.82)
    assert roc_auc_score(w.t, w.p) == pytest.approx(0.82, abs=0.005)
    for low in (0.1, 0.3, 0.6):
        inside = (w.p > low) & (w.p < low + 0.1)
        assert w.t[inside].mean() == pytest.approx(w.p[inside].mean(), abs=0.01)


def test_hard_and_soft_gaps_shrink_by_their_factors() -> None:
    """A true 20 points show as about 10 (hard) and 6 (soft), and the slope as 20."""
    w = world(np.random.default_rng(1), 2_000_000, 0.82)
    called = w.p >= 0.5
    hard = w.y[~called].mean() - w.y[called].mean()
    soft = np.average(w.y, weights=1 - w.p) - np.average(w.y, weights=w.p)
    assert hard == pytest.approx(GAP * attenuation_hard(w.p, called, w.ones), abs=0.003)
    assert soft == pytest.approx(GAP * attenuation_soft(w.p, w.ones), abs=0.003)
    brier, brier0 = np.mean((w.p - w.t) ** 2), w.t.var()
    assert attenuation_soft(w.p, w.ones) == pytest.approx(1 - brier / brier0, abs=0.003)
    assert 0.25 < attenuation_soft(w.p, w.ones) < 0.33 < attenuation_hard(w.p, called, w.ones) < 0.55
    assert slope(w).value == pytest.approx(GAP, abs=0.004)
    sensitivity, specificity = called[w.t == 1].mean(), 1 - called[w.t == 0].mean()
    assert hard / matrix_factor(called.mean(), Errors(sensitivity, specificity)) == pytest.approx(GAP, abs=0.004)


@pytest.mark.parametrize("auroc", [0.75, 0.82, 0.9])
def test_slope_and_matrix_cover_a_known_gap(auroc: float) -> None:
    rng = np.random.default_rng(int(1000 * auroc))
    runs = 400
    found = [(w := world(rng, 2000, auroc), matrix(w, world(rng, 500, auroc))) for _ in range(runs)]
    assert np.mean([hits(slope(w)) for w, _ in found]) >= 0.93
    # A sample in which the calls are no better than chance has no corrected gap: it counts as a miss.
    assert np.mean([m is not None and hits(m) for _, m in found]) >= 0.93


@pytest.mark.parametrize("auroc", [0.75, 0.82, 0.9])
@pytest.mark.parametrize(("copies", "distort", "differential"), [(1, 1.0, 0.0), (3, 1.0, 0.0), (1, 2.0, 0.3)])
def test_drawn_labels_cover_a_known_gap(auroc: float, copies: int, distort: float, differential: float) -> None:
    """Whatever p is worth: with copies, with p that is not calibrated, with errors that depend on the answers."""
    rng = np.random.default_rng(int(1000 * auroc) + copies)
    aim = GAP
    if differential:
        truth = world(np.random.default_rng(2), 1_000_000, auroc, differential=differential)
        aim = truth.y[truth.t == 0].mean() - truth.y[truth.t == 1].mean()
    worlds = (world(rng, 1500, auroc, copies, differential) for _ in range(800))
    covered = [hits(drawn(rng, w, 450, distort), aim) for w in worlds]
    assert np.mean(covered) >= 0.93


def test_slope_misses_where_its_assumption_is_broken() -> None:
    """Why it is not called a correction: answers that depend on p beyond t move it, and drawn labels stay right."""
    rng = np.random.default_rng(3)
    missed = [not hits(slope(world(rng, 4000, 0.82, differential=0.3))) for _ in range(60)]
    assert np.mean(missed) > 0.5


def test_slope_within_parts_ignores_where_parts_lie() -> None:
    rng = np.random.default_rng(4)
    one, two = world(rng, 3000, 0.82), world(rng, 3000, 0.82)
    values = np.r_[one.y, two.y * 0.5]
    prob = np.r_[one.p, np.clip(two.p + 0.1, 0, 1)]
    parts, groups = np.repeat([0, 1], 3000), np.arange(6000)
    design = np.column_stack([prob, parts == 0, parts == 1]).astype(float)
    expected = -np.linalg.lstsq(design, values, rcond=None)[0][0]
    found = slope_gap(values, prob, np.ones(6000), groups, parts)
    assert found is not None and found.value == pytest.approx(expected)
    assert slope_gap(values, np.where(parts == 0, 0.2, 0.7), np.ones(6000), groups, parts) is None


def test_tuning_takes_a_useless_classifier_out() -> None:
    """PPI++: with noise for p the interval is no wider than with the labels alone."""
    rng = np.random.default_rng(5)
    w = world(rng, 4000, 0.9)
    picked = rng.random(4000) < 0.125
    chance = np.full(4000, 0.125)
    truth = np.where(picked, w.t, np.nan)
    widths = {}
    for name, prob in (("good", w.p), ("noise", rng.random(4000)), ("constant", np.full(4000, 0.5))):
        found = labelled_gap(w.y, Subsample(prob, truth, chance), w.ones, w.groups)
        assert found is not None and found.low is not None and found.high is not None
        widths[name] = found.high - found.low
    alone = labelled_gap(w.y, Subsample(np.zeros(4000), truth, chance), w.ones, w.groups)
    assert alone is not None and alone.low is not None and alone.high is not None
    assert widths["noise"] <= 1.02 * (alone.high - alone.low) and widths["good"] < 0.9 * widths["noise"]


def test_all_labelled_is_the_plain_difference() -> None:
    w = world(np.random.default_rng(6), 500, 0.82)
    found = labelled_gap(w.y, Subsample(w.p, w.t, w.ones), w.ones, w.groups)
    assert found is not None and found.value == pytest.approx(w.y[w.t == 0].mean() - w.y[w.t == 1].mean())
    assert labelled_gap(w.y, Subsample(w.p, np.full(500, np.nan), w.ones), w.ones, w.groups) is None


def test_bounds_are_reached_and_never_passed() -> None:
    """Against every way to spread the true labels over small counts."""
    rng = np.random.default_rng(7)
    for _ in range(40):
        items, right, true = (np.array(x) for x in ((12, 8), rng.integers(0, 9, 2), rng.integers(1, 8, 2)))
        gaps = []
        for first in range(max(0, right[0] + true[0] - 12), min(right[0], true[0]) + 1):
            for second in range(max(0, right[1] + true[1] - 8), min(right[1], true[1]) + 1):
                both = first + second
                gaps.append((right.sum() - both) / (20 - true.sum()) - both / true.sum())
        low, high = gap_bounds(np.array(8 / 20), tuple(right / items), tuple(true / items))
        assert (float(low), float(high)) == pytest.approx((min(gaps), max(gaps)))


def test_errors_that_cannot_be_have_no_corrected_gap() -> None:
    assert matrix_gap(0.1, 0.02, 0.3, 1000, Errors(0.5, 0.5)) is None
    assert matrix_gap(0.1, 0.02, 0.05, 1000, Errors(0.9, 0.9)) is None, "fewer are called so than by mistake alone"
