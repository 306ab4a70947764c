"""Reasoning or knowledge, as numbers: the text a classifier sees, splits, metrics, threshold rules, agreement."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.errors import InputError
from components.questions.items import Item, group_id
from components.scoring.intervals import normal_quantile, wilson

THRESHOLD_RULES = ("balanced_accuracy", "fixed", "match_share")
Metric = Callable[[np.ndarray, np.ndarray], float]


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
    positives = int(np.sum(labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean(labels == predicted))


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the shares found among positives and among negatives: 0.5 for any constant answer."""
    return float(np.mean([np.mean(predicted[labels == label] == label) for label in np.unique(labels)]))


def confusion(labels: np.ndarray, predicted: np.ndarray) -> list[list[int]]:
    """[[true 0 called 0, true 0 called 1], [true 1 called 0, true 1 called 1]]."""
    return [[int(np.sum((labels == t) & (predicted == p))) for p in (0, 1)] for t in (0, 1)]


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """`fpr`, `tpr` and the `thresholds` of every distinct score, from (0, 0) to (1, 1).

    The first point is "nothing is positive": its threshold is 1.0, not the infinity that plotting and KFP choke on.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], labels[order]
    last = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1)
    tp = np.cumsum(hits)[last]
    fp = last + 1 - tp
    return {
        "fpr": [0.0, *(fp / max(1, fp[-1])).tolist()],
        "tpr": [0.0, *(tp / max(1, tp[-1])).tolist()],
        "thresholds": [1.0, *ordered[last].astype(float).tolist()],
    }


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
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    expected = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return float((np.mean(a == b) - expected) / (1 - expected)) if expected < 1 else float("nan")


def report(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Accuracy, balanced accuracy and AUROC of scores cut at a threshold."""
    predicted = (scores >= threshold).astype(int)
    return {
        "accuracy": accuracy(labels, predicted),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "auroc": auroc(labels, scores),
    }


def group_interval(
    groups: Sequence[str], columns: Mapping[str, np.ndarray], statistic: Callable[..., float], seed: int, n: int = 1000
) -> tuple[float, float]:
    """95 % percentile interval of statistic(**columns), resampling whole groups `n` times."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    members = [np.array(rows[group]) for group in sorted(rows)]
    rng = np.random.default_rng(seed)
    values: list[Any] = []
    for _ in range(n):
        picked = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        values.append(statistic(**{name: column[picked] for name, column in columns.items()}))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def share_interval(groups: Sequence[str], flags: np.ndarray, seed: int, n: int = 1000) -> tuple[float, float]:
    """group_interval of the mean of `flags`, from sums per group: quick for ten thousand items.

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
