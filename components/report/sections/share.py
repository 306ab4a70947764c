"""How much is reasoning: the share per benchmark, corrected for the classifier's errors, and over the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.classifier.shares import corrected_share, crossing, experts_labels, paper_verdict, share_curve
from components.questions.items import Item, group_of
from components.questions.published import REASONING_SHARE
from components.report.charts import Axis, bars, curve, percent_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record
from components.report.tables import questions_cell
from components.report.wording import percent, spread
from components.scoring.intervals import accuracy_interval

_SHARE_LINES = (("all questions", "pooled"), ("mean of benchmarks", "macro"))


@dataclass(frozen=True)
class Share:
    """The share of questions called reasoning; the interval takes the question group as its unit."""

    benchmark: str
    n: int
    groups: int
    value: float
    low: float
    high: float


def section(items: Sequence[Item], classifier: Record | None) -> Section:
    """The share of the questions called reasoning; left out where no question carries a stratum."""
    found = shares(items)
    title = "How much is reasoning"
    if not found:
        return Section("share", title, absent="No questions with strata were given.")
    sentences, drawn = [share_sentence(found[0])], [share_figure(found)]
    if (corrected := corrected_sentence(items, classifier)) is not None:
        sentences.append(corrected)
    if (over_threshold := threshold_curve(items)) is not None:
        drawn.append(share_curve_figure(*over_threshold))
    return Section("share", title, sentences, drawn, [share_table(found)])


def shares(items: Iterable[Item]) -> list[Share]:
    """Pooled first, then per benchmark in order of appearance; items without a stratum are left out."""
    sets: dict[str, list[Item]] = {"all": []}
    for item in items:
        if item.is_reasoning is not None:
            sets["all"].append(item)
            sets.setdefault(item.dataset_name, []).append(item)
    return [_share(name, members) for name, members in sets.items() if members]


def share_sentence(pooled: Share) -> str:
    """Our share beside the paper's, and whether the paper's lies within our interval."""
    verdict = paper_verdict(pooled.low, pooled.high)
    return (
        f"The classifier calls {percent(pooled.value)} of {pooled.n:,} questions reasoning "
        f"(interval {spread(pooled.low, pooled.high)}), which {verdict} the paper's {percent(REASONING_SHARE)}. "
        "The share follows the threshold rule and the mix of benchmarks."
    )


def corrected_sentence(items: Sequence[Item], classifier: Record | None) -> str | None:
    """The Rogan–Gladen share in words; None where the errors are unknown or the classifier is no better than chance."""
    rows = classifier["labelled"] if classifier else []
    flagged = [item for item in items if item.is_reasoning is not None]
    if not flagged or {r["label"] for r in rows} != {0, 1}:
        return None
    flags = np.array([float(bool(item.is_reasoning)) for item in flagged])
    labels = np.array([int(r["label"]) for r in rows])
    called = np.array([_called(r, flagged[0].reasoning_threshold) for r in rows])
    groups, truth = [group_of(item) for item in flagged], experts_labels(flagged)
    found = corrected_share(flags, truth, groups, labels, called, [r["group_id"] for r in rows], seed=0)
    share, low, high = found["share"], found["ci_low"], found["ci_high"]
    if found["uncut"] is None:
        return None
    errors = (
        f"Corrected for the classifier's errors on labelled questions (sensitivity {percent(found['sensitivity'])}, "
        f"specificity {percent(found['specificity'])}; Rogan and Gladen)"
    )
    if share is None or low is None or high is None:
        return (
            f"{errors} the share of the questions without a label would be {percent(found['uncut'])}, which is "
            "not possible: the classifier has other error rates on these questions. Anything from "
            f"{percent(found['bound_low'])} to {percent(found['bound_high'])} of all is possible."
        )
    labelled = ", with experts' labels taken as they are," if not np.isnan(truth).all() else ""
    return (
        f"{errors}{labelled} the share is {percent(share)} ({spread(low, high)}). This assumes the same error "
        "rates on these questions."
    )


def threshold_curve(items: Sequence[Item]) -> tuple[Record, float | None] | None:
    """share_curve of the items that have a probability, and the threshold they were cut at; None without any."""
    scored = [item for item in items if item.reasoning_prob is not None]
    if not scored:
        return None
    prob = np.array([item.reasoning_prob for item in scored], dtype=float)
    return share_curve(prob, [item.dataset_name for item in scored]), scored[0].reasoning_threshold


def share_figure(found: Sequence[Share]) -> Figure:
    """The reasoning share per benchmark beside the paper's."""
    rows = [(_name(s), f"{percent(s.value, 0)} of {s.n:,}", s.value) for s in found]
    label = "Share of questions called reasoning: " + ", ".join(f"{name} {percent(v, 0)}" for name, _, v in rows) + "."
    scale = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), percent_tick)
    drawing = bars(label, rows, scale, (REASONING_SHARE, f"the paper's {percent(REASONING_SHARE)}"))
    return Figure(drawing, "Share of each benchmark's questions called reasoning by the classifier.")


def share_curve_figure(found: Record, threshold: float | None) -> Figure:
    """The share called reasoning over the threshold, with the paper's share and the threshold in use as lines."""
    steps = found["threshold"]
    lines = [(name, list(zip(steps, found[key], strict=True))) for name, key in _SHARE_LINES]
    lines.append(("paper", [(0.0, REASONING_SHARE), (1.0, REASONING_SHARE)]))
    at_paper = crossing(found, REASONING_SHARE)
    words = f"{percent(REASONING_SHARE)} are called reasoning at a threshold of {at_paper:.2f}"
    if threshold is not None:
        lines.append(("in use", [(threshold, 0.0), (threshold, 1.0)]))
        words += f"; {threshold:.2f} is in use"
    scale = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), percent_tick)
    across = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{v:g}")
    drawing = curve(f"Share called reasoning over the threshold: {words}.", lines, across, scale, marks=False)
    return Figure(drawing, f"Share called reasoning (up) over the threshold (across): {words}.")


def share_table(found: Sequence[Share]) -> Table:
    """Every share with its interval and its questions."""
    rows = tuple(
        (
            Cell(_name(s)),
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


def _share(name: str, items: Sequence[Item]) -> Share:
    flags = np.array([float(bool(item.is_reasoning)) for item in items])
    groups = np.unique([group_of(item) for item in items], return_inverse=True)[1]
    interval = accuracy_interval(flags, groups)
    assert interval is not None, name
    return Share(name, len(items), int(groups.max()) + 1, float(flags.mean()), interval.low, interval.high)


def _called(row: Record, threshold: float | None) -> int:
    """What the classifier calls a labelled row, cut where the items were, which need not be its own threshold."""
    return int(row["called"]) if threshold is None else int(row["prob"] >= threshold)


def _name(share: Share) -> str:
    return "All questions" if share.benchmark == "all" else share.benchmark
