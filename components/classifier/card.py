"""classifier.json: what a trained classifier says of itself, and the same as a table for people. No question text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.classifier import metrics as qa
from components.classifier.evaluation import METRICS, Judged, compare_classifiers, length_matched, weighted_auroc

SCHEMA_VERSION = 2  # 1: the combination was mixed by a regression, folds did not look at stems
TITLES = {
    "majority": "always the more frequent label",
    "question_length": "question length",
    "tfidf": "TF-IDF + logistic regression",
    "frozen_encoder": "frozen encoder + logistic regression",
    "encoder": "fine-tuned encoder",
    "combination": "fine-tuned encoder and TF-IDF",
    "released": "released classifier, not trained here",
}
_MATCHED = ("auroc", "auroc_minus_tfidf")
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
    ours = judged[shipped]
    own = table[shipped]
    return {
        "table": table,
        "metrics": {name: own[name]["estimate"] for name in METRICS}
        | {"auroc_ci_low": own["auroc"]["ci_low"], "auroc_ci_high": own["auroc"]["ci_high"]},
        "baselines": {
            name: {metric: row[metric]["estimate"] for metric in METRICS}
            for name, row in table.items()
            if name != shipped
        },
        "length_matched": _length_matched(labels, groups, judged, words, seed),
        "labelled_reasoning_share": float(labels.mean()),
        "confusion": {"labels": ["Understanding", "Reasoning"], "matrix": qa.confusion(labels, ours.called)},
        "roc": qa.roc_curve(labels, ours.prob),
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
    """The table of a card, with its intervals, the rule and what the figures were measured on."""
    lines = ["| classifier | " + " | ".join(_HEADS) + " | AUROC − TF-IDF |", "|---|" + "---|" * (len(_HEADS) + 1)]
    for name, row in card["table"].items():
        cells = [_interval(row[metric]) for metric in METRICS]
        difference = row.get("auroc_minus_tfidf")
        cells.append(_interval(difference, signed=True) if difference and name != "tfidf" else "")
        title = TITLES.get(name, name)
        lines.append(f"| {f'**{title}**' if name == card['learner'] else title} | " + " | ".join(cells) + " |")
    rule = card["threshold_rule"].replace("_", " ")
    lines += [
        "",
        f"{len(card['labelled']):,} labelled questions, {card['measured_on']}; 95 % group-bootstrap intervals. In "
        f"bold: the one that is shipped ({card['model']}); reasoning means a probability of at least "
        f"{card['threshold']:.3f} (rule: {rule}). Intervals of ECE lean upwards: drawing "
        "adds noise to every bin.",
    ]
    matched = card["length_matched"]
    if matched["n"]:
        learner = card["learner"]
        difference = matched.get("auroc_minus_tfidf", {}).get(learner)
        beside = f", {_interval(difference, signed=True)} over TF-IDF" if difference and learner != "tfidf" else ""
        lines.append(
            f"Among {matched['n']:,} questions matched in length (length alone: AUROC {matched['words_auroc']:.3f}) "
            f"the shipped classifier's AUROC is {_interval(matched['auroc'][learner])}{beside}."
        )
    return "\n".join(lines) + "\n"


def _interval(figure: Mapping[str, float | None], signed: bool = False) -> str:
    value, low, high = figure["estimate"], figure["ci_low"], figure["ci_high"]
    if value is None or low is None or high is None:
        return "n/a"
    sign = "+" if signed else ""
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def registry_tags(card: Mapping[str, Any]) -> dict[str, str]:
    """What a registered version of the classifier is tagged with: how it was made, and its headline figures."""
    made = ("learner", "model", "threshold", "threshold_rule", "temperature", "out_of_fold", "folds")
    return {name: str(card[name]) for name in made} | {name: f"{value}" for name, value in card["metrics"].items()}
