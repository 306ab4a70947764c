"""The corrected share finds the true one, and its interval covers it; the curve falls with the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.classifier import shares as prevalence
from components.questions.items import Item


@given(st.floats(0, 1), st.floats(0.55, 1), st.floats(0.55, 1))
def test_it_undoes_the_judges_errors(true: float, sensitivity: float, specificity: float) -> None:
    measured = true * sensitivity + (1 - true) * (1 - specificity)
    assert prevalence.rogan_gladen(measured, sensitivity, specificity) == pytest.approx(true, abs=1e-9)


def test_by_hand_impossible_and_undefined() -> None:
    assert prevalence.rogan_gladen(0.3, 0.8, 0.9) == pytest.approx(2 / 7)
    assert prevalence.rogan_gladen(0.05, 0.8, 0.9) == pytest.approx(-0.05 / 0.7)
    assert prevalence.rogan_gladen(0.95, 0.8, 0.9) > 1, "no share: the errors are others there"
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
        names, truth = [f"a{n}" for n in range(400)], np.full(400, np.nan)
        found = prevalence.corrected_share(
            flags, truth, names, labels, called, [f"b{n}" for n in range(200)], seed, 300
        )
        covered += found["ci_low"] <= 0.3 <= found["ci_high"]
        raw += abs(flags.mean() - 0.3) < 0.05
    assert covered >= 182, f"{covered} of 200 intervals hold the true share"
    assert raw < 30, "uncorrected, the share is off: otherwise this test shows nothing"


def test_copies_are_not_evidence() -> None:
    rng = np.random.default_rng(1)
    flags, labels = rng.integers(0, 2, 100).astype(float), rng.integers(0, 2, 100)
    called = np.where(rng.random(100) < 0.85, labels, 1 - labels)
    names = [str(n) for n in range(100)]
    nobody = np.full(100, np.nan)
    one = prevalence.corrected_share(flags, nobody, names, labels, called, names, 0)
    five = prevalence.corrected_share(
        np.tile(flags, 5), np.tile(nobody, 5), names * 5, np.tile(labels, 5), np.tile(called, 5), names * 5, 0
    )
    widths = [found["ci_high"] - found["ci_low"] for found in (one, five)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def _judge(labelled: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Right on exactly eight in ten of either label."""
    labels = np.tile([1, 0], labelled // 2)
    wrong = np.arange(labelled) // 2 % 5 == 0
    return labels, np.where(wrong, 1 - labels, labels), [f"l{n}" for n in range(labelled)]


def test_experts_labels_are_taken_as_they_are() -> None:
    """The same questions labelled and judged: their share is their labels', with the interval of a share."""
    labels, called, names = _judge(400)
    found = prevalence.corrected_share(called.astype(float), labels.astype(float), names, labels, called, names, 0)
    assert found["share"] == 0.5 and found["uncut"] is None
    assert found["ci_low"] == pytest.approx(0.451, abs=0.01) and found["ci_high"] == pytest.approx(0.549, abs=0.01)
    half = np.where(np.arange(400) < 200, labels, np.nan)
    mixed = prevalence.corrected_share(called.astype(float), half, names, labels, called, names, 0)
    assert mixed["share"] == pytest.approx(0.5) and mixed["ci_high"] > found["ci_high"]


def test_a_correction_that_no_share_can_be_is_not_given_as_one() -> None:
    """Called reasoning 2 in 100, where this judge would call 20 of 100 knowledge questions so."""
    labels, called, names = _judge(400)
    flags = (np.arange(1000) % 50 == 0).astype(float)
    others = [f"o{n}" for n in range(1000)]
    found = prevalence.corrected_share(flags, np.full(1000, np.nan), others, labels, called, names, 0)
    assert found["share"] is None and found["ci_low"] is None and found["uncut_high"] < 0
    assert prevalence.correction_words(found).startswith("none: -30% (")
    # Three labelled questions in the thousand do not make it one.
    truth = np.where(np.arange(1000) < 3, 1.0, np.nan)
    assert prevalence.corrected_share(flags, truth, others, labels, called, names, 0)["share"] is None


def test_what_is_refuted_leaves_the_logical_bounds() -> None:
    """Nothing but the labels is known then: no, or every, unlabelled question takes reasoning."""
    labels, called, names = _judge(400)
    flags = (np.arange(1000) % 50 == 0).astype(float)
    truth = np.where(np.arange(1000) < 100, 1.0, np.nan)
    found = prevalence.corrected_share(flags, truth, [f"o{n}" for n in range(1000)], labels, called, names, 0)
    assert found["refuted"] and found["ci_low"] is None
    assert (found["bound_low"], found["bound_high"]) == pytest.approx((0.1, 1.0))
    assert "anything from 10.0% to 100.0% is possible" in prevalence.correction_words(found)


def test_one_benchmark_that_refutes_leaves_no_share_of_all() -> None:
    labels, called, names = _judge(400)
    rows = [
        Item(
            f"{benchmark}{n}", f"Question {benchmark} {n}?", {"A": "x", "B": "y"}, "A", benchmark,
            reasoning_prob=0.9 if n % every == 0 else 0.1, is_reasoning=n % every == 0, reasoning_threshold=0.5,
            meta={"prob_source": "classifier"},
        )
        for benchmark, every in (("even", 2), ("odd", 50))
        for n in range(300)
    ]  # fmt: skip
    found = prevalence.describe_strata(rows, 0.5, "fixed", (labels, called, names), 0)
    assert found["benchmarks"]["even"]["corrected"]["share"] is not None
    assert found["benchmarks"]["odd"]["corrected"]["refuted"]
    assert found["pooled"]["corrected"]["refuted"] and found["pooled"]["corrected"]["ci_low"] is None
    assert "one benchmark" in prevalence.correction_words(found["pooled"]["corrected"])
    assert "reasoning_share_corrected" not in found["metrics"]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.24, 0.43, "cannot be told from"),  # 88 questions hold nearly any share: no agreement
        (0.30, 0.36, "agrees to 5 points with"),
        (0.34, 0.36, "differs from"),
        (0.10, 0.30, "differs from"),
    ],
)
def test_agreement_with_the_paper_is_a_test_and_not_a_wide_interval(low: float, high: float, words: str) -> None:
    assert prevalence.paper_verdict(low, high) == words


def test_the_curve_falls_and_is_crossed() -> None:
    prob = np.array([0.1, 0.4, 0.6, 0.9, 0.2])
    curve = prevalence.share_curve(prob, ["a", "a", "a", "a", "b"])
    assert curve["pooled"][0] == curve["macro"][0] == 1.0 and curve["pooled"][-1] == 0.0
    assert curve["pooled"][50] == 0.4 and curve["macro"][50] == 0.25
    assert all(x >= y for x, y in zip(curve["pooled"], curve["pooled"][1:], strict=False))
    assert prevalence.crossing(curve, 0.4) == 0.41
