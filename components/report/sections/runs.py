"""What the other stages left for the report: strata of the items, the classifier, curation, training curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.classifier.card import majority_words
from components.classifier.metrics import roc_curve
from components.classifier.shares import paper_verdict
from components.questions.items import Item, group_of
from components.questions.published import REASONING_SHARE
from components.report.scores import Record
from components.report.tables import Cell, Table, questions_cell
from components.report.wording import is_number, percent, spread
from components.scoring.intervals import accuracy_interval

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Share:
    """The share of questions called reasoning; the interval takes the question group as its unit."""

    benchmark: str
    n: int
    groups: int
    value: float
    low: float
    high: float


def shares(items: Iterable[Item]) -> list[Share]:
    """Pooled first, then per benchmark in order of appearance; items without a stratum are left out."""
    sets: dict[str, list[Item]] = {"all": []}
    for item in items:
        if item.is_reasoning is not None:
            sets["all"].append(item)
            sets.setdefault(item.dataset_name, []).append(item)
    return [_share(name, members) for name, members in sets.items() if members]


def _share(name: str, items: Sequence[Item]) -> Share:
    flags = np.array([float(bool(item.is_reasoning)) for item in items])
    groups = np.unique([group_of(item) for item in items], return_inverse=True)[1]
    interval = accuracy_interval(flags, groups)
    assert interval is not None, name
    return Share(name, len(items), int(groups.max()) + 1, float(flags.mean()), interval.low, interval.high)


def share_sentence(pooled: Share) -> str:
    """Our share beside the paper's, and whether the paper's lies within our interval."""
    verdict = paper_verdict(pooled.low, pooled.high)
    return (
        f"The classifier calls {percent(pooled.value)} of {pooled.n:,} questions reasoning "
        f"(interval {spread(pooled.low, pooled.high)}), which {verdict} the paper's {percent(REASONING_SHARE)}. "
        "The share follows the threshold rule and the mix of benchmarks."
    )


def share_table(found: Sequence[Share]) -> Table:
    rows = tuple(
        (
            Cell("All questions" if s.benchmark == "all" else s.benchmark),
            Cell(percent(s.value), spread(s.low, s.high)),
            questions_cell({"n": s.n, "groups": s.groups}),
        )
        for s in found
    )
    note = f"The paper reports {percent(REASONING_SHARE)} over all eleven benchmarks together."
    return Table(
        "Share of questions called reasoning, with intervals",
        ("Benchmark", "Reasoning", "Questions"),
        rows,
        note,
        compact=True,
        folded=True,
    )


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
    if len(set(labels)) < 2:
        return []
    curve = roc_curve(np.array(labels), np.array(probs))
    return list(zip(curve["fpr"], curve["tpr"], strict=True))


def roc_points(classifier: Record, labels: Sequence[int], probs: Sequence[float]) -> Curve:
    """The curve of a card, whose area is the AUROC that it names; that of the probabilities where it has none."""
    curve = classifier.get("roc")
    if not isinstance(curve, Mapping) or len(set(labels)) < 2:
        return roc(labels, probs)
    return list(zip(curve["fpr"], curve["tpr"], strict=True))


def area(curve: Curve) -> float:
    """The area under an ROC curve by trapezoids, which counts ties as half."""
    from sklearn.metrics import auc

    return float(auc(*zip(*curve, strict=True)))


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
        out.append(
            f"On {len(labels):,} {sample(classifier)} it agrees with the experts on {percent(accuracy)}; always giving "
            f"the more frequent answer agrees on {percent(majority)}."
        )
        if words := majority_words(classifier):
            out.append(words)
    return out


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
    rows = tuple((Cell(_title(n)), *(Cell(_measure(c.get(n))) for c in columns.values())) for n in names)
    note = "Held out by question group."
    return Table("Classifier and baselines", ("Measure", *columns), rows, note)


def flatten_numbers(record: Mapping[str, Any]) -> dict[str, float]:
    out: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            out.update({f"{name} {k}": v for k, v in flatten_numbers(value).items()})
        elif is_number(value):
            out[str(name)] = value
    return out


def series(history: Any, wanted: Sequence[str]) -> dict[str, Curve]:
    """The curves of a training history by name; `history` is the list of steps or a record that holds it."""
    rows = history.get("history") if isinstance(history, Mapping) else history
    out: dict[str, Curve] = {}
    for name in wanted:
        points = [
            (float(r["step"]), float(r[name]))
            for r in rows or []
            if is_number(r.get("step")) and is_number(r.get(name))
        ]
        if points:
            out[name] = sorted(points)
    return out


def curve_sentence(stage: str, name: str, points: Curve) -> str:
    """First and last thirds of a curve, compared: single steps are too noisy to quote."""
    size = max(1, len(points) // 3)
    first, last = (sum(v for _, v in part) / size for part in (points[:size], points[-size:]))
    return (
        f"{stage.upper()}: {name.replace('_', ' ')} went from {first:.3g} to {last:.3g} (means of the first and last "
        f"third) in {int(points[-1][0])} steps."
    )


def _title(name: str) -> str:
    return name.replace("_", " ")


def _measure(value: Any) -> str:
    if not is_number(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
