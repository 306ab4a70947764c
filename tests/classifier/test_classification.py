"""Classification figures against scikit-learn, and the rules and splits that the strata rest on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn import metrics

from components.classifier import metrics as qa
from components.errors import InputError
from components.questions.items import Item

OPTIONS = {"A": "Aspirin", "B": "Low-dose heparin", "C": "No treatment", "D": "Warfarin"}


def item(question: str, options: dict[str, str] | None = None, context: str | None = None) -> Item:
    return Item("q", question, options or OPTIONS, "A", "made up", context=context)


scored = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(scored)
def test_measures_are_those_of_scikit_learn(rows: list[tuple[int, float]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels.sum() < len(labels))
    predicted = (scores >= 0.5).astype(int)
    assert qa.auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert qa.accuracy(labels, predicted) == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert qa.balanced_accuracy(labels, predicted) == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert qa.confusion(labels, predicted) == metrics.confusion_matrix(labels, predicted).tolist()
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    curve = qa.roc_curve(labels, scores)
    assert curve["fpr"] == pytest.approx(fpr.tolist())
    assert curve["tpr"] == pytest.approx(tpr.tolist())
    assert curve["thresholds"][0] == 1.0, "the infinite first threshold must be clipped"
    assert curve["thresholds"][1:] == pytest.approx(thresholds[1:].tolist())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_kappa_is_scikit_learns(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    ours = qa.kappa(first, second)
    if np.isnan(ours):
        assert len({*first, *second}) == 1
    else:
        assert ours == pytest.approx(metrics.cohen_kappa_score(first, second))


def test_one_label_only_has_no_auroc() -> None:
    assert np.isnan(qa.auroc(np.array([1, 1]), np.array([0.2, 0.9])))


@settings(max_examples=60, deadline=None)
@given(scored)
def test_no_threshold_beats_the_balanced_accuracy_rule(rows: list[tuple[int, float]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels.sum() < len(labels))
    chosen = qa.choose_threshold("balanced_accuracy", scores, labels)
    best = max(qa.balanced_accuracy(labels, (scores >= t).astype(int)) for t in np.arange(-0.025, 1.05, 0.05))
    got = qa.balanced_accuracy(labels, (scores >= chosen).astype(int))
    # Where even the best rule is a constant answer, there is nothing to choose and the median stands.
    assert got == pytest.approx(best) or best == pytest.approx(0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50, unique=True), st.floats(0.01, 0.99))
@example(scores=[0.0, 5e-324], share=0.5)
def test_match_share_matches_the_share(scores: list[float], share: float) -> None:
    values = np.array(scores)
    threshold = qa.choose_threshold("match_share", values, target_share=share)
    assert abs(np.mean(values >= threshold) - share) <= 0.5 / len(values) + 1e-9


def test_match_share_without_a_share_takes_the_labels() -> None:
    labels, scores = np.array([1, 0, 0, 0]), np.array([0.3, 0.9, 0.2, 0.1])
    assert qa.choose_threshold("match_share", scores, labels) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("rule", "arguments", "message"),
    [
        ("fixed", {}, "needs a number"),
        ("match_share", {}, "target_share"),
        ("balanced_accuracy", {"labels": np.array([1, 1])}, "both kinds"),
        ("youden", {"labels": np.array([0, 1])}, "youden"),
    ],
)
def test_a_rule_without_what_it_needs_says_so(rule: str, arguments: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        qa.choose_threshold(rule, np.array([0.1, 0.9]), **arguments)


@pytest.mark.parametrize(
    "other",
    [
        item("What is given first? Answer Choices: (A) Aspirin (B) Warfarin", context="An abstract."),
        item("  what is GIVEN first?\nA. Aspirin\nB. Low-dose heparin\nC. No treatment\nD. Warfarin"),
        item("What is given first?").with_(group_id="from elsewhere"),
    ],
)
def test_what_the_classifier_reads_alike_has_one_stem_id(other: Item) -> None:
    assert qa.stem_id(other) == qa.stem_id(item("What is given first?")) != qa.stem_id(item("What is given next?"))


@pytest.mark.parametrize(
    ("rule", "threshold", "share", "message"),
    [
        ("fixed", None, None, "^threshold: .*'fixed' needs"),
        ("balanced_accuracy", 0.5, None, "^threshold: .*'fixed', not 'balanced_accuracy'"),
        ("classifier", 0.5, None, "^threshold: "),
        ("fixed", 0.5, 0.3, "^target_share: .*'match_share', not 'fixed'"),
    ],
)
def test_settings_that_do_not_belong_together_are_named(
    rule: str, threshold: float | None, share: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        qa.check_rule(rule, threshold, share)


@pytest.mark.parametrize(
    "printed",
    [
        " Answer Choices: (A) Aspirin (B) Low-dose heparin (C) No treatment (D) Warfarin",
        "\nA. Aspirin\nB. Low-dose  heparin\nC. No treatment\nD. Warfarin\n",
        " (A) Aspirin; (B) Low-dose heparin; (C) No treatment; (D) Warfarin.",
        "\nanswer options:\nanything at all",
    ],
)
def test_choices_printed_in_the_question_are_cut_off(printed: str) -> None:
    assert qa.stem(item("What is given first?" + printed)) == "What is given first?"


@pytest.mark.parametrize(
    "question",
    [
        "His ECG is shown in Figure A. His film is shown in Figure B. What is given?",
        "Broth A: lactose. Broth B: glucose. Which grows?",
        "Which of the answer choices pairs the two?",
        "(A) Aspirin and (B) Low-dose heparin were compared in a trial; which was better?",
    ],
)
def test_other_letters_in_a_question_are_left_alone(question: str) -> None:
    assert qa.stem(item(question)) == question


def test_the_context_is_not_read() -> None:
    assert qa.stem(item("Does it help?", context="A long abstract.")) == "Does it help?"


def test_group_intervals_widen_with_copies() -> None:
    rng = np.random.default_rng(0)
    flags = rng.integers(0, 2, 100).astype(float)
    one_each = [str(n) for n in range(100)]
    low, high = qa.share_interval(one_each, flags, seed=1)
    assert low < flags.mean() < high
    nothing = qa.share_interval(one_each, np.zeros(len(one_each)), seed=1)
    assert nothing[0] < 1e-9 and 0.01 < nothing[1] < 0.1, "no draw doubts what all agree on; Wilson's interval does"
    copied_low, copied_high = qa.share_interval(one_each * 5, np.tile(flags, 5), seed=1)
    assert (copied_high - copied_low) == pytest.approx(high - low, rel=0.15), "copies are not evidence"
    usual = bootstrap((flags,), np.mean, n_resamples=1000, method="percentile", random_state=2).confidence_interval
    assert tuple(usual) == pytest.approx((copied_low, copied_high), abs=0.04)
