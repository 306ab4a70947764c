"""Reasoning or knowledge, as numbers: the text a classifier sees, measures, calibration, threshold rules, agreement.

Measures are scikit-learn's, imported where they are used: it takes a second, and commands that need none start without.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np

from components.errors import InputError
from components.questions.items import Item, group_id
from components.scoring.intervals import normal_quantile, wilson

THRESHOLD_RULES = ("balanced_accuracy", "fixed", "match_share")
# Guo et al., "On Calibration of Modern Neural Networks", 2017: fifteen equal-width bins.
ECE_BINS = 15
# What follows differs from machine to machine: the order in which a library adds up. Strata must not.
DECIMALS = 6
# The least slope of a calibration: scores that go against the labels say nothing, they are not turned round.
_LEAST_SLOPE = 1e-3


def stem(item: Item) -> str:
    """What the classifier reads: the question, without answer choices printed inside it and without its context.

    Choices are left out because their number and length give the benchmark away; the context (PubMedQA's abstract) is
    evidence handed over, not what is asked, and none of the labelled questions has one: with it a classifier calls
    whatever is long reasoning.
    """
    text = item.question.strip()
    cut = re.search(r"\s*\banswer (?:choices|options)\s*:", text, re.IGNORECASE) or _printed_options(item, text)
    return text[: cut.start()].strip() or text if cut else text


def _printed_options(item: Item, text: str) -> re.Match[str] | None:
    """Where the item's own options begin inside its question: each letter with its text, in order, up to the end."""
    texts = {letter: r"\s+".join(map(re.escape, option.split())) for letter, option in item.options.items()}
    listed = r"[\s;,.|]*".join(rf"[(\[]?{letter}[).:\]]+\s*{text}" for letter, text in texts.items())
    return re.search(rf"(?:^|(?<=\s)){listed}\W*$", text)


def stem_id(item: Item) -> str:
    """Hash of the normalised stem: two items with the same one are one question to the classifier.

    Their question groups may differ: those hash printed choices and the context too, or were given with the items.
    """
    return group_id(stem(item))


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties counting half.

    NaN when one of the two labels (0, 1) is missing.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if len(np.unique(labels)) == 2 else float("nan")


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(labels == predicted))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the shares found among positives and among negatives: 0.5 for any constant answer."""
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(labels, predicted))


def confusion(labels: np.ndarray, predicted: np.ndarray) -> list[list[int]]:
    """[[true 0 called 0, true 0 called 1], [true 1 called 0, true 1 called 1]]."""
    from sklearn.metrics import confusion_matrix

    rows: list[list[int]] = confusion_matrix(labels, predicted, labels=[0, 1]).tolist()
    return rows


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """`fpr`, `tpr` and the `thresholds` of every distinct score, from (0, 0) to (1, 1).

    The first point is "nothing is positive": its threshold is 1.0, not the infinity that plotting and KFP choke on. Of
    a label that is missing the rate is 0 everywhere.
    """
    from sklearn.metrics import roc_curve as of_scikit_learn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a missing label; it is told in the docstring
        fpr, tpr, thresholds = of_scikit_learn(labels, scores, pos_label=1, drop_intermediate=False)
    return {
        "fpr": np.nan_to_num(fpr).tolist(),
        "tpr": np.nan_to_num(tpr).tolist(),
        "thresholds": [1.0, *thresholds[1:].astype(float).tolist()],
    }


def probabilities(log_odds: np.ndarray, slope: float = 1.0, intercept: float = 0.0) -> np.ndarray:
    """P(label 1) in [0, 1] from log-odds, any shape, to DECIMALS places."""
    from scipy.special import expit

    return np.asarray(np.round(expit(slope * np.asarray(log_odds, dtype=float) + intercept), DECIMALS))


def fit_calibration(labels: np.ndarray, log_odds: np.ndarray) -> tuple[float, float]:
    """The slope (above 0) and intercept for which sigmoid(slope × log_odds + intercept) fits these labels best.

    Platt, "Probabilistic outputs for support vector machines", 1999, with his targets a little off 0 and 1, so that
    labels which the scores part wholly do not send the slope to infinity. A temperature alone, as in Guo et al., cannot
    centre: it gave a mean probability of 0.787 where 0.760 of the questions take reasoning. Order, and so AUROC, is
    left alone.
    """
    from sklearn.linear_model import LogisticRegression

    positives = int(np.sum(labels))
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    # scikit-learn's own version of this (_SigmoidCalibration) is private: a regression on both labels of every row,
    # weighted by its target, is the same likelihood.
    both, kinds = np.r_[log_odds, log_odds][:, None], np.repeat([1, 0], len(labels))
    model = LogisticRegression(C=1e6, max_iter=1000).fit(both, kinds, np.r_[target, 1 - target])
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope >= _LEAST_SLOPE:
        return slope, intercept
    share = float(np.mean(target))
    return _LEAST_SLOPE, float(np.log(share / (1 - share)) - _LEAST_SLOPE * np.mean(log_odds))


def brier(labels: np.ndarray, prob: np.ndarray) -> float:
    """Mean squared difference of probability and label: 0 is perfect, always saying p scores p(1 − p) at share p."""
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(labels, prob, pos_label=1))


def ece_gaps(labels: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """What each row adds to its bin's gap of probability and label, shape (n, ECE_BINS): the calibration error's terms.

    By hand: scikit-learn's calibration_curve gives bins without their sizes, and the table weighs rows in many ways.
    """
    bins = np.minimum((prob * ECE_BINS).astype(int), ECE_BINS - 1)
    return np.asarray((prob - labels)[:, None] * (bins[:, None] == np.arange(ECE_BINS)))


def expected_calibration_error(labels: np.ndarray, prob: np.ndarray) -> float:
    """Mean absolute gap between mean probability and share of label 1 over equal-width bins, weighted by their rows."""
    return float(np.abs(ece_gaps(labels, prob).sum(axis=0)).sum() / len(labels))


def choose_threshold(
    rule: str,
    scores: np.ndarray,
    labels: np.ndarray | None = None,
    fixed: float | None = None,
    target_share: float | None = None,
) -> float:
    """The threshold t of "reasoning means score >= t" by a named rule.

    balanced_accuracy: the best balanced accuracy on these labelled scores, midway between neighbouring scores.
    fixed: the given number.
    match_share: `target_share` of these scores reach it (without one, the share of positive labels).
    Raises InputError for a rule that lacks what it needs.
    """
    if rule == "fixed":
        if fixed is None:
            raise InputError("threshold: the rule 'fixed' needs a number")
        return float(fixed)
    if rule == "match_share":
        if target_share is None:
            if labels is None:
                raise InputError("target_share: the rule 'match_share' needs a share where there are no labels")
            target_share = float(np.mean(labels))
        return share_threshold(scores, target_share)
    if rule != "balanced_accuracy":
        raise InputError(f"threshold_rule: {rule!r} is not one of {', '.join(THRESHOLD_RULES)}")
    if labels is None or len(set(labels.tolist())) < 2:
        raise InputError("threshold_rule: 'balanced_accuracy' needs labelled rows of both kinds")
    curve = roc_curve(labels, scores)
    gain = np.array(curve["tpr"]) - np.array(curve["fpr"])
    best = int(np.argmax(gain))
    if best == 0:  # no threshold beats a constant answer: the scores are worthless, and the middle is as good as any
        return float(np.median(scores))
    below = curve["thresholds"][best + 1] if best + 1 < len(gain) else curve["thresholds"][best]
    return (curve["thresholds"][best] + below) / 2


def check_rule(rule: str, threshold: float | None, target_share: float | None) -> None:
    """Raise ValueError, naming the field, where a rule lacks its number or a number is given to another rule."""
    if rule == "fixed" and threshold is None:
        raise ValueError("threshold: threshold_rule 'fixed' needs a number from 0 to 1")
    for name, value, owner in (("threshold", threshold, "fixed"), ("target_share", target_share, "match_share")):
        if value is not None and rule != owner:
            raise ValueError(f"{name}: {value} is for threshold_rule '{owner}', not '{rule}'; set one or the other")


def share_threshold(scores: np.ndarray, share: float) -> float:
    """The threshold that a share of the scores closest to `share` reaches."""
    ordered = np.sort(scores)[::-1]
    count = round(share * len(ordered))
    if count <= 0:
        return float(np.nextafter(ordered[0], np.inf))
    if count >= len(ordered):
        return float(ordered[-1])
    middle = float((ordered[count - 1] + ordered[count]) / 2)
    # Between two neighbouring floats there is no middle: the upper one keeps the lower one out.
    return middle if middle > ordered[count] or ordered[count] == ordered[count - 1] else float(ordered[count - 1])


def kappa(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Cohen's kappa of two yes/no judgements; NaN when both are one constant."""
    from sklearn.metrics import cohen_kappa_score

    if len({*first, *second}) < 2:
        return float("nan")
    return float(cohen_kappa_score(first, second))


def share_interval(groups: Sequence[str], flags: np.ndarray, seed: int, n: int = 1000) -> tuple[float, float]:
    """95 % percentile interval of the mean of `flags`, drawing whole groups `n` times.

    Where all flags agree, which no draw can doubt, Wilson's interval with a group as one trial.
    """
    number, size = group_counts(groups)
    sizes = np.bincount(number).astype(float)
    sums = np.bincount(number, weights=flags)
    if np.ptp(flags) == 0:
        return wilson(float(flags[0]) * size, size, normal_quantile(0.975))
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(n):
        times = np.bincount(rng.integers(0, size, size), minlength=size)
        shares.append(times @ sums / (times @ sizes))
    low, high = np.percentile(shares, [2.5, 97.5])
    return float(low), float(high)


def group_counts(groups: Sequence[str]) -> tuple[np.ndarray, int]:
    """The number of each row's group, shape (n,), and how many groups there are."""
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    return number, len(names)
