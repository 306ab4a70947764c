"""The figures of the report: findings in, drawings with their alternative text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.classifier.shares import crossing
from components.questions.published import REASONING_SHARE
from components.report.charts import Axis, Dot, Group, axis, bars, curve, dots
from components.report.page import Figure
from components.report.scores import GAP_KINDS, PLAIN, STRATA, Record, Scores, setting_words
from components.report.sections.runs import Curve, Share
from components.report.wording import MINUS, has_interval, is_difference, is_number, percent, points, rule_words, spread

STRATA_KEYS = (("knowledge", "knowledge"), ("reasoning", "reasoning"))


def strata_figure(scores: Scores) -> Figure:
    """Knowledge and reasoning accuracy of every model, with intervals and the level of guessing."""
    kinds = STRATA if scores.stratified else ("all",)
    where = _where(scores)
    groups, said = [], []
    for model in scores.models:
        cells = {k: c for k in kinds if (c := scores.cell(model, scores.lead, k)) and is_number(c["accuracy"])}
        if cells:
            rows = tuple(Dot(k, c["accuracy"], c["ci_low"], c["ci_high"]) for k, c in cells.items())
            short = ", ".join(f"{k} {percent(c['accuracy'])}" for k, c in cells.items())
            chance = (scores.cell(model, scores.lead) or {}).get("chance")
            groups.append(Group(model, " · ".join(percent(c["accuracy"]) for c in cells.values()), rows, chance))
            said.append(f"{model}: {short}")
    highs = [h for g in groups for d in g.dots for h in (d.value, d.high or 0.0)]
    legend = [*(STRATA_KEYS if scores.stratified else [("all", "all questions")]), ("mark", "guessing")]
    label = f"Accuracy with 95 % intervals, {where}. " + "; ".join(said) + "."
    drawing = dots(label, groups, axis(highs, _percent, 0.0), legend)
    return Figure(drawing, f"Accuracy, {where}. Bars are 95 % intervals by question group.")


def drop_figure(scores: Scores) -> Figure | None:
    """Plain (filled) to adversarial (hollow) accuracy per model and stratum."""
    kinds = STRATA if scores.stratified else ("all",)
    groups, said = [], []
    for model in scores.models:
        pairs = {k: (scores.cell(model, "plain", k), scores.cell(model, "adversarial", k)) for k in kinds}
        rows = tuple(Dot(k, a["accuracy"], other=b["accuracy"]) for k, (a, b) in pairs.items() if a and b)
        drop = scores.drop(model)
        if rows and drop:
            low, high = -drop["ci_high"], -drop["ci_low"]
            groups.append(Group(model, f"{points(-drop['estimate'])} ({spread(low, high, True)})", rows))
            parts = (f"{d.kind} {percent(d.value)} to {percent(d.other)}" for d in rows)
            said.append(f"{model}: {', '.join(parts)}")
    if not groups:
        return None
    values = [v for g in groups for d in g.dots for v in (d.value, d.other or 0.0)]
    legend = STRATA_KEYS if scores.stratified else [("all", "all questions")]
    label = "Accuracy without and with a wrong opening. " + "; ".join(said) + "."
    caption = (
        "From plain (filled) to a wrong opening (hollow, mean of three). At the right: the change over all questions."
    )
    return Figure(dots(label, groups, axis(values, _percent, 0.0), legend), caption)


def gap_figure(scores: Scores) -> Figure | None:
    """The gap by three ways of pooling, around zero."""
    groups, said = [], []
    for model in scores.models:
        gaps = {k: g for k in GAP_KINDS if (g := scores.gap(model, k, scores.lead))}
        if gaps:
            rows = tuple(Dot(k, g["estimate"], g["ci_low"], g["ci_high"]) for k, g in gaps.items())
            groups.append(Group(model, " · ".join(_signed(g["estimate"]) for g in gaps.values()), rows))
            said.append(model + ": " + ", ".join(f"{GAP_KINDS[k]} {points(g['estimate'])}" for k, g in gaps.items()))
    if not groups:
        return None
    label = "Knowledge minus reasoning accuracy with 95 % intervals. " + "; ".join(said) + "."
    legend = list(GAP_KINDS.items())
    drawing = dots(label, groups, _around_zero(groups), legend, zero=True)
    caption = f"Knowledge minus reasoning, in points, {_where(scores)}. Right of zero: knowledge is answered better."
    return Figure(drawing, caption)


def gate_figure(decision: Record) -> Figure | None:
    """Candidate minus baseline for each rule that measures a difference, with the bound it has to clear."""
    groups, said = [], []
    for r in decision.get("reasons") or []:
        if has_interval(r) and is_number(r.get("estimate")) and is_difference(r):
            dot = Dot("good" if r["passed"] else "bad", r["estimate"], r["ci_low"], r["ci_high"])
            bound = r.get("bound")
            groups.append(Group(rule_words(r), points(r["estimate"]), (dot,), bound if is_number(bound) else None))
            said.append(f"{rule_words(r)} {points(r['estimate'])}, {'holds' if r['passed'] else 'does not hold'}")
    if not groups:
        return None
    label = f"{decision['candidate']} minus {decision['baseline']}, with intervals. " + "; ".join(said) + "."
    drawing = dots(
        label, groups, _around_zero(groups), [("good", "holds"), ("bad", "does not hold"), ("mark", "bound")], True
    )
    return Figure(
        drawing, "Candidate minus baseline on the same questions, in points, with intervals and each rule's bound."
    )


def share_figure(found: Sequence[Share]) -> Figure:
    """The reasoning share per benchmark beside the paper's."""
    rows = [(_name(s), f"{percent(s.value, 0)} of {s.n:,}", s.value) for s in found]
    label = "Share of questions called reasoning: " + ", ".join(f"{name} {percent(v, 0)}" for name, _, v in rows) + "."
    scale = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), _percent)
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
    scale = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), _percent)
    across = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), lambda v: f"{v:g}")
    drawing = curve(f"Share called reasoning over the threshold: {words}.", lines, across, scale, marks=False)
    return Figure(drawing, f"Share called reasoning (up) over the threshold (across): {words}.")


def roc_figure(points_: Curve, auroc: float | None, of: str) -> Figure:
    """The ROC on the questions that `of` names."""
    text = f"area under the curve {auroc:.3f}" if auroc is not None else "area not given"
    scale = Axis(0.0, 1.0, (0.0, 0.5, 1.0), _percent)
    series = [("classifier", points_), ("guessing", [(0.0, 0.0), (1.0, 1.0)])]
    drawing = curve(f"ROC of the classifier on {of}, {text}.", series, scale, scale, marks=False)
    return Figure(
        drawing,
        f"ROC on {of} ({text}): share of knowledge wrongly called reasoning (across) "
        "against share of reasoning found (up).",
    )


def training_figure(stage: str, found: Mapping[str, Curve]) -> Figure:
    """The curves of one training stage over its steps."""
    steps = [x for c in found.values() for x, _ in c]
    values = [y for c in found.values() for _, y in c]
    # The parts of a reward are named without it: four long names do not fit a phone.
    found = {name.removeprefix("reward_").replace("_", " "): points for name, points in found.items()}
    names = ", ".join(found)
    ends = "; ".join(f"{n} from {c[0][1]:.3g} to {c[-1][1]:.3g}" for n, c in found.items())
    x = Axis(min(steps), max(max(steps), min(steps) + 1), (min(steps), max(steps)), lambda v: f"step {v:g}")
    y = axis(values, lambda v: f"{v:g}".replace("-", MINUS), min(0.0, min(values)), count=3)
    drawing = curve(f"{stage.upper()} training, {names} by step: {ends}.", list(found.items()), x, y)
    return Figure(drawing, f"{stage.upper()}: {names} by optimizer step.")


_SHARE_LINES = (("all questions", "pooled"), ("mean of benchmarks", "macro"))


def _where(scores: Scores) -> str:
    return "plain questions" if scores.lead == PLAIN else setting_words(scores.lead)


def _around_zero(groups: Sequence[Group]) -> Axis:
    values = [v for g in groups for d in g.dots for v in (d.low, d.high, d.value, g.mark, 0.0) if v is not None]
    return axis(values, _signed, count=4)


def _name(share: Share) -> str:
    return "All questions" if share.benchmark == "all" else share.benchmark


def _percent(value: float) -> str:
    return f"{100 * value:g} %"


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}".removesuffix(".0").replace("-", MINUS)
    return "0" if text in ("+0", MINUS + "0") else text
