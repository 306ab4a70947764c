"""classifier.json: what a trained classifier says of itself, and the same as a table for people. No question text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.classifier import metrics as qa
from components.classifier.evaluation import METRICS, Judged, compare_classifiers, length_matched, weighted_auroc

# 1: the combination was mixed by a regression, folds did not look at stems. 2: it was a fine-tuned encoder and TF-IDF,
# calibrated by a temperature.
SCHEMA_VERSION = 3
TITLES = {
    "majority": "always the more frequent label",
    "question_length": "question length",
    "tfidf": "TF-IDF + logistic regression",
    "frozen_encoder": "frozen encoder + logistic regression",
    "encoder": "fine-tuned encoder",
    "part_surface": "part: surface features, boosted trees",
    "part_characters": "part: n-grams of characters",
    "part_last_sentence": "part: n-grams of the last sentence",
    "part_vectors": "part: frozen encoder",
    "combination": "combination of length and the parts",
    "released": "released classifier, not trained here",
}
_MATCHED = ("auroc", "auroc_minus_tfidf")
_ENDS = (("", "estimate"), ("_ci_low", "ci_low"), ("_ci_high", "ci_high"))
_HEADS = ("AUROC", "balanced accuracy", "accuracy", "Brier", "ECE before", "ECE after")


def measured(
    labels: np.ndarray,
    groups: Sequence[str],
    ids: Sequence[str],
    judged: Mapping[str, Judged],
    shipped: str,
    words: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """The measured part of a card: table, curves of the shipped classifier, its answer to every labelled row.

    `words` are the stems' lengths, for the length-matched subset. All arrays have shape (n,).
    """
    table = compare_classifiers(labels, groups, judged, seed)
    matched = _length_matched(labels, groups, judged, words, seed)
    ours = judged[shipped]
    own = table[shipped]
    metrics = {name: own[name]["estimate"] for name in METRICS}
    metrics |= {"auroc_ci_low": own["auroc"]["ci_low"], "auroc_ci_high": own["auroc"]["ci_high"]}
    if matched["n"]:
        found = matched["auroc"][shipped]
        metrics |= {f"auroc_equal_length{end}": found[key] for end, key in _ENDS}
    return {
        "table": table,
        "metrics": metrics,
        "baselines": {
            name: {metric: row[metric]["estimate"] for metric in METRICS}
            for name, row in table.items()
            if name != shipped
        },
        "length_matched": matched,
        "labelled_reasoning_share": float(labels.mean()),
        "confusion": {"labels": ["Understanding", "Reasoning"], "matrix": qa.confusion(labels, ours.called)},
        # Of the scores that AUROC is computed of, on the shipped scale: its area is that AUROC.
        "roc": qa.roc_curve(labels, qa.probabilities(ours.log_odds, *qa.fit_calibration(labels, ours.log_odds))),
        "labelled": [
            {"id": name, "group_id": group, "label": int(label), "prob": float(prob), "called": int(called)}
            for name, group, label, prob, called in zip(ids, groups, labels, ours.prob, ours.called, strict=True)
        ],
    }


def _length_matched(
    labels: np.ndarray, groups: Sequence[str], judged: Mapping[str, Judged], words: np.ndarray, seed: int
) -> dict[str, Any]:
    """AUROC of each classifier on rows matched in length, as many of each label."""
    rows = length_matched(labels, words)
    if not len(rows):
        return {"n": 0}
    part = {name: Judged(j.log_odds[rows], j.raw[rows], j.prob[rows], j.called[rows]) for name, j in judged.items()}
    table = compare_classifiers(labels[rows], [groups[i] for i in rows], part, seed)
    lengths = weighted_auroc(labels[rows], words[rows], np.ones((1, len(rows))))[0]
    found = {metric: {n: row[metric] for n, row in table.items() if metric in row} for metric in _MATCHED}
    return {"n": len(rows), "words_auroc": float(lengths), **found}


def markdown(card: Mapping[str, Any]) -> str:
    """AUROC at equal length, the table of a card with its intervals, the rule, and what it was measured on."""
    heads = (*_HEADS, "AUROC at equal length", "AUROC − TF-IDF")
    matched, learner = card["length_matched"], card["learner"]
    lines = [_headline(card), ""] if matched["n"] else []
    lines += ["| classifier | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for name, row in card["table"].items():
        cells = [_interval(row[metric]) for metric in METRICS]
        cells.append(_interval(matched["auroc"][name]) if matched["n"] else "n/a")
        difference = row.get("auroc_minus_tfidf")
        cells.append(_interval(difference, signed=True) if difference and name != "tfidf" else "")
        title = TITLES.get(name, name)
        lines.append(f"| {f'**{title}**' if name == learner else title} | " + " | ".join(cells) + " |")
    rule = card["threshold_rule"].replace("_", " ")
    lines += [
        "",
        f"{len(card['labelled']):,} labelled questions, {card['measured_on']}; 95 % group-bootstrap intervals. In "
        f"bold: the one that is shipped ({card['model']}, trained on {card.get('trained_on', 'the labels given')}); "
        f"reasoning means a probability of at least {card['threshold']:.3f} (rule: {rule}). Intervals of ECE lean "
        "upwards: drawing adds noise to every bin.",
    ]
    if card.get("length_slope") is not None:
        lines.append(
            f"What length is worth was set beforehand ({card['length_slope']:g} per log of words), not learnt."
        )
    if words := majority_words(card):
        lines.append(words)
    if any(name.startswith("part_") for name in card["table"]):
        lines.append("Parts are fitted so that length says nothing: what each is worth is its AUROC at equal length.")
    return "\n".join(lines) + "\n"


def majority_words(card: Mapping[str, Any]) -> str:
    """Whether the shipped classifier's accuracy beats one constant answer, by the interval of the paired difference.

    "" where the card has no such difference (a released classifier, an older card).
    """
    table = card.get("table") or {}
    found = (table.get(card.get("learner")) or {}).get("accuracy_minus_majority")
    if not found or found["ci_low"] is None or found["ci_high"] is None:
        return ""
    verdict = "beats" if found["ci_low"] > 0 else "is below" if found["ci_high"] < 0 else "cannot be told from"
    own, constant = (table[name]["accuracy"]["estimate"] for name in (card["learner"], "majority"))
    return (
        f"Its accuracy of {own:.1%} {verdict} always giving the more frequent answer ({constant:.1%}): difference "
        f"{100 * found['estimate']:+.1f} points ({100 * found['ci_low']:+.1f} to {100 * found['ci_high']:+.1f})."
    )


def _headline(card: Mapping[str, Any]) -> str:
    matched, learner = card["length_matched"], card["learner"]
    difference = matched.get("auroc_minus_tfidf", {}).get(learner)
    beside = f", {_interval(difference, signed=True)} over TF-IDF" if difference and learner != "tfidf" else ""
    return (
        f"AUROC at equal length: {_interval(matched['auroc'][learner])}{beside}, among {matched['n']:,} questions "
        f"matched in length (length alone: {matched['words_auroc']:.3f}); among all questions "
        f"{_interval(card['table'][learner]['auroc'])}."
    )


def _interval(figure: Mapping[str, float | None], signed: bool = False) -> str:
    value, low, high = figure["estimate"], figure["ci_low"], figure["ci_high"]
    if value is None or low is None or high is None:
        return "n/a"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def registry_tags(card: Mapping[str, Any]) -> dict[str, str]:
    """What a registered version of the classifier is tagged with: how it was made, and its headline figures."""
    made = ("learner", "model", "threshold", "threshold_rule", "slope", "intercept", "out_of_fold", "folds")
    return {name: str(card[name]) for name in made} | {name: f"{value}" for name, value in card["metrics"].items()}
