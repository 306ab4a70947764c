"""The reasoning/knowledge classifier: how well it agrees with the experts, beside the baselines it has to beat."""

from __future__ import annotations

from collections.abc import Sequence

from components.classifier.card import majority_words
from components.report.charts import Axis, curve, percent_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record
from components.report.wording import is_number, percent

Curve = list[tuple[float, float]]


def section(classifier: Record | None) -> Section:
    """What a classifier.json says of its classifier; left out without one."""
    title = "The reasoning/knowledge classifier"
    if classifier is None:
        return Section("classifier", title, absent="No classifier record was given.")
    labels, probs = heldout(classifier)
    points, of = roc_points(classifier, labels), sample(classifier)
    drawn, found = [], [classifier_table(classifier)]
    if points:
        drawn.append(roc_figure(points, area(points), of))
        found.append(confusion_table(labels, probs, classifier["threshold"], of))
    return Section("classifier", title, classifier_sentences(classifier, labels), drawn, found)


def classifier_sentences(classifier: Record, labels: Sequence[int]) -> list[str]:
    """The threshold and its rule, and how the accuracy compares with always giving one answer."""
    rule, accuracy = classifier["threshold_rule"].replace("_", " "), classifier["metrics"]["accuracy"]
    out = [f"A question counts as reasoning from a probability of {classifier['threshold']:.3f} (rule: {rule})."]
    if is_number(accuracy) and labels:
        majority = max(sum(labels), len(labels) - sum(labels)) / len(labels)
        out.append(
            f"On {len(labels):,} {sample(classifier)} it agrees with the experts on {percent(accuracy)}; always giving "
            f"the more frequent answer agrees on {percent(majority)}."
        )
        if words := majority_words(classifier):
            out.append(words)
    return out


def heldout(classifier: Record) -> tuple[list[int], list[float]]:
    """Labels (1 = reasoning) and probabilities of the labelled questions."""
    rows = classifier["labelled"]
    return [int(r["label"]) for r in rows], [float(r["prob"]) for r in rows]


def sample(classifier: Record) -> str:
    """What the classifier's labelled questions are to it: a released one may have been trained on them."""
    unknown = classifier.get("out_of_fold") is False
    return "labelled questions that it may have been trained on" if unknown else "held-out questions"


def roc_points(classifier: Record, labels: Sequence[int]) -> Curve:
    """The curve of a card, whose area is the AUROC that it names; [] when one class is missing."""
    if len(set(labels)) < 2:
        return []
    return list(zip(classifier["roc"]["fpr"], classifier["roc"]["tpr"], strict=True))


def area(points: Curve) -> float:
    """The area under an ROC curve by trapezoids, which counts ties as half."""
    from sklearn.metrics import auc

    return float(auc(*zip(*points, strict=True)))


def roc_figure(points: Curve, auroc: float, of: str) -> Figure:
    """The ROC on the questions that `of` names."""
    text = f"area under the curve {auroc:.3f}"
    scale = Axis(0.0, 1.0, (0.0, 0.5, 1.0), percent_tick)
    series = [("classifier", points), ("guessing", [(0.0, 0.0), (1.0, 1.0)])]
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


_MEASURES = {
    "auroc": "AUROC",
    "auroc_equal_length": "AUROC at equal length",
    "brier": "Brier score",
    "ece_before": "calibration error before calibration",
    "ece_after": "calibration error after it",
}
_ENDS = ("_ci_low", "_ci_high")


def classifier_table(classifier: Record) -> Table:
    """The classifier's measures beside those of each baseline, a row a measure; intervals stand with their measure."""
    columns = {"classifier": classifier["metrics"], **classifier["baselines"]}
    names = dict.fromkeys(n for column in columns.values() for n, value in column.items() if is_number(value))
    rows = tuple(
        (Cell(_MEASURES.get(name, name.replace("_", " "))), *(_measure(column, name) for column in columns.values()))
        for name in names
        if not name.endswith(_ENDS)
    )
    note = "Held out by question group. Small figures are 95 % intervals."
    head = ("Measure", *(name.replace("_", " ") for name in columns))
    return Table("Classifier and baselines", head, rows, note)


def _measure(column: Record, name: str) -> Cell:
    value, ends = column.get(name), [column.get(name + end) for end in _ENDS]
    if not is_number(value):
        return Cell("–")
    return Cell(f"{value:.3f}", " to ".join(f"{end:.3f}" for end in ends) if all(map(is_number, ends)) else "")
