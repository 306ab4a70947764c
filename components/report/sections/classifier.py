"""The classifier that draws the line: how well it agrees with the experts, beside the baselines it has to beat."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from components.report.charts import Axis, curve, percent_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record
from components.report.wording import is_number, percent

Curve = list[tuple[float, float]]


def section(classifier: Record | None) -> Section:
    """What a classifier.json says of its classifier; left out without one."""
    title = "The classifier that draws the line"
    if classifier is None:
        return Section("classifier", title, absent="No classifier record was given.")
    drawn: list[Figure] = []
    found = [t for t in (classifier_table(classifier),) if t]
    labels, probs = heldout(classifier)
    points, of = roc(labels, probs), sample(classifier)
    if points:
        drawn.append(roc_figure(points, area(points), of))
        if is_number(classifier.get("threshold")):
            found.append(confusion_table(labels, probs, classifier["threshold"], of))
    return Section("classifier", title, classifier_sentences(classifier, labels), drawn, found)


def classifier_sentences(classifier: Record, labels: Sequence[int]) -> list[str]:
    """The threshold and its rule, and how the accuracy compares with always giving one answer."""
    out = []
    if is_number(classifier.get("threshold")):
        rule = str(classifier.get("threshold_rule") or "no rule given").replace("_", " ")
        out.append(
            f"A question counts as reasoning from a probability of {classifier['threshold']:.3f} (rule: {rule})."
        )
    accuracy = flatten_numbers(classifier.get("metrics") or {}).get("accuracy")
    if accuracy is not None and labels:
        majority = max(sum(labels), len(labels) - sum(labels)) / len(labels)
        verdict = "beats" if accuracy > majority else "does not beat"
        out.append(
            f"On {len(labels):,} {sample(classifier)} it agrees with the experts on {percent(accuracy)}, which "
            f"{verdict} always giving the more frequent answer ({percent(majority)})."
        )
    return out


def heldout(classifier: Record) -> tuple[list[int], list[float]]:
    """Labels (1 = reasoning) and probabilities of the labelled questions; rows without either are left out."""
    rows = [r for r in classifier.get("labelled") or [] if is_number(r.get("prob")) and r.get("label") is not None]
    return [int(r["label"] in (1, True, "Reasoning")) for r in rows], [float(r["prob"]) for r in rows]


def sample(classifier: Record) -> str:
    """What the classifier's labelled questions are to it: a released one may have been trained on them."""
    unknown = classifier.get("out_of_fold") is False
    return "labelled questions that it may have been trained on" if unknown else "held-out questions"


def roc(labels: Sequence[int], probs: Sequence[float]) -> Curve:
    """False against true positive rate over all thresholds, ties together; [] when one class is missing."""
    positives, negatives = sum(labels), len(labels) - sum(labels)
    if not positives or not negatives:
        return []
    curve, hits, alarms = [(0.0, 0.0)], 0, 0
    ranked = sorted(zip(probs, labels, strict=True), reverse=True)
    for index, (prob, label) in enumerate(ranked):
        hits, alarms = hits + label, alarms + 1 - label
        if index + 1 == len(ranked) or ranked[index + 1][0] != prob:
            curve.append((alarms / negatives, hits / positives))
    return curve


def area(curve: Curve) -> float:
    """The area under an ROC curve by trapezoids, which counts ties as half."""
    return sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in itertools.pairwise(curve))


def roc_figure(points_: Curve, auroc: float | None, of: str) -> Figure:
    """The ROC on the questions that `of` names."""
    text = f"area under the curve {auroc:.3f}" if auroc is not None else "area not given"
    scale = Axis(0.0, 1.0, (0.0, 0.5, 1.0), percent_tick)
    series = [("classifier", points_), ("guessing", [(0.0, 0.0), (1.0, 1.0)])]
    drawing = curve(f"ROC of the classifier on {of}, {text}.", series, scale, scale, marks=False)
    return Figure(
        drawing,
        f"ROC on {of} ({text}): share of knowledge wrongly called reasoning (across) "
        "against share of reasoning found (up).",
    )


def confusion_table(labels: Sequence[int], probs: Sequence[float], threshold: float, of: str) -> Table:
    """Experts against classifier on the questions that `of` names, at the threshold that draws the strata."""
    calls = [p >= threshold for p in probs]
    rows = []
    for label, name in ((1, "Reasoning"), (0, "Understanding")):
        hits = [c for c, known in zip(calls, labels, strict=True) if known == label]
        right = sum(c == bool(label) for c in hits)
        share = percent(right / len(hits)) if hits else "n/a"
        rows.append((Cell(f"Expert: {name}"), Cell(str(sum(hits))), Cell(str(len(hits) - sum(hits))), Cell(share)))
    head = (of[0].upper() + of[1:], "called reasoning", "called knowledge", "right")
    return Table(f"Confusion at threshold {threshold:.3f}", head, tuple(rows), folded=True)


def classifier_table(classifier: Record) -> Table | None:
    """The classifier's measures beside those of each baseline, a row a measure."""
    columns: dict[str, Mapping[str, Any]] = {}
    own = classifier.get("metrics")
    if isinstance(own, Mapping):
        columns["classifier"] = flatten_numbers(own)
    for name, value in (classifier.get("baselines") or {}).items():
        columns[name.replace("_", " ")] = flatten_numbers(value) if isinstance(value, Mapping) else {"accuracy": value}
    names = list(dict.fromkeys(n for column in columns.values() for n in column))
    if not names:
        return None
    rows = tuple((Cell(n.replace("_", " ")), *(Cell(_measure(c.get(n))) for c in columns.values())) for n in names)
    note = "Held out by question group. A classifier that does not beat the baselines draws no line worth trusting."
    return Table("Classifier and baselines", ("Measure", *columns), rows, note)


def flatten_numbers(record: Mapping[str, Any]) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update({f"{name} {k}": v for k, v in flatten_numbers(value).items()})
        elif is_number(value):
            out[str(name)] = value
    return out


def _measure(value: Any) -> str:
    if not is_number(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
