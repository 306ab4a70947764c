"""Several answers to each question: the mean, at least one right, the most frequent answer, and what seeds change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.report.charts import Dot, Group, axis, dots, percent_tick
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import Record, Scores, lead_words, short_setting
from components.report.tables import count, row_head, row_name
from components.report.wording import is_number, percent, points, spread

TITLE = "Several answers to each question"
LEAST = 3  # samples from which the most frequent answer says more than that two agree
# What the figure draws, with a sign and a colour of the page each.
SHOWN = (
    ("pooled", "mean", "mean"),
    ("within_benchmark", "majority", "most frequent answer"),
    ("macro", "pass_at_k", "at least one right"),
)


def section(scores: Scores) -> Section | None:
    """What several answers to each question say that one does not; None where each was asked once."""
    if not scores.samples:
        return None
    figure, table = samples_figure(scores), samples_table(scores)
    return Section("samples", TITLE, samples_sentences(scores), [figure] if figure else [], [table])


def samples_sentences(scores: Scores) -> list[str]:
    """Of each model over all questions: mean and seeds, the most frequent answer against one, the share of chance."""
    out = []
    for model, found in _lead(scores).items():
        out.append(
            f"{model} answered each question {found['k']} times: {percent(found['mean'])} of the answers are right"
            f"{_bracket(found, 'mean')}, by seed {percent(found['spread_low'])} to {percent(found['spread_high'])}."
        )
        if found["k"] >= LEAST and is_number(found.get("majority_gain")):
            out.append(_majority(model, found))
        if is_number(found.get("se")) and found["se"]:
            part = min(1.0, (found["se_samples"] / found["se"]) ** 2)
            out.append(
                f"Of the variance of this mean, {percent(part, 0)} comes from chance within questions, which more "
                "samples would reduce; the rest takes more questions."
            )
    return out


def _majority(model: str, found: Record) -> str:
    gain, low, high = (found[f"majority_gain{end}"] for end in ("", "_low", "_high"))
    told = f"{percent(found['majority'])}{_bracket(found, 'majority')}"
    by = f"({points(gain)}, {spread(low, high, True)})"
    if low > 0 or high < 0:
        how = "often" if low > 0 else "rarely"
        return f"The most frequent answer of {model} is right more {how} than one answer: {told} {by}."
    return f"The most frequent answer of {model}, right in {told}, is within error of one answer {by}."


def samples_figure(scores: Scores) -> Figure | None:
    """Mean, most frequent answer and at least one right of every model, with intervals."""
    groups, said = [], []
    for model, found in _lead(scores).items():
        rows = tuple(Dot(kind, found[key], found[f"{key}_low"], found[f"{key}_high"]) for kind, key, _ in SHOWN)
        groups.append(Group(model, f"{found['k']} samples", rows))
        said.append(f"{model}: " + ", ".join(f"{name} {percent(found[key])}" for _, key, name in SHOWN))
    if not groups:
        return None
    ends = [value for group in groups for dot in group.dots for value in (dot.value, dot.high or 0.0)]
    label = f"Right answers among several, {lead_words(scores)}. " + "; ".join(said) + "."
    legend = [(kind, name) for kind, _, name in SHOWN]
    caption = f"Right answers, {lead_words(scores)}. Bars are 95 % intervals by question group."
    return Figure(dots(label, groups, axis(ends, percent_tick, 0.0), legend), caption)


def samples_table(scores: Scores) -> Table:
    """All figures by model, setting (of the prefills their mean, where it is there) and stratum."""
    rows: list[tuple[Cell, ...]] = []
    starts: set[int] = set()
    for model in scores.models:
        starts.add(len(rows))
        settings = scores.shown([model])
        for found in (r for r in scores.samples if r["model"] == model and r["setting"] in settings):
            rows.append(
                (
                    row_name(scores, model, f"{short_setting(found['setting'])}, {found['stratum']}"),
                    Cell(count(found["k"])),
                    Cell(count(found["n"]), f"{count(found['incomplete'])} left out" if found["incomplete"] else ""),
                    _cell(found, "mean"),
                    Cell(spread(found["spread_low"], found["spread_high"])),
                    _cell(found, "majority"),
                    Cell(percent(found["majority_undecided"])),
                    _cell(found, "pass_at_k"),
                )
            )
    head = [row_head(scores), "Samples", "Questions", "Mean", "By seed, percent", "Most frequent", "Tied"]
    head.append("At least one right")
    note = (
        "Mean: the accuracy used everywhere else on this page; its interval covers questions and samples. By seed: the "
        "worst and the best sample alone, which is no interval. Most frequent: a tie is wrong, and an answer that "
        "names no option has no vote. Left out: questions that lack a sample."
    )
    return Table("Several answers to each question", tuple(head), tuple(rows), note, frozenset(starts), compact=True)


def _lead(scores: Scores) -> Mapping[str, Record]:
    """By model the record over all questions in the setting that stands for its accuracy."""
    chosen: Sequence[Record] = [r for r in scores.samples if (r["setting"], r["stratum"]) == (scores.lead, "all")]
    return {record["model"]: record for record in chosen}


def _cell(found: Record, name: str) -> Cell:
    return Cell(percent(found[name]), spread(found[f"{name}_low"], found[f"{name}_high"]))


def _bracket(found: Record, name: str) -> str:
    low, high = found[f"{name}_low"], found[f"{name}_high"]
    return f" ({spread(low, high)})" if is_number(low) and is_number(high) else ""
