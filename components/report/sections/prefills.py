"""Adversarial prefills: what they did to the accuracy of each model, and what else changed together with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.report.charts import Dot, Group, axis, dots, percent_tick, stratum_keys
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import PLAIN, Record, Scores, setting_words
from components.report.survey import Survey
from components.report.tables import interval
from components.report.wording import has_interval, join, percent, points, signed, spread, verb
from components.scoring.outcomes import ADVERSARIAL

SILENT = 0.2  # more answers without a choice, as a share, than are worth a sentence: our choice
THOUGHT = 0.1  # fewer answers that hold a thought, as a share, likewise
TWO_TURN, CONTINUED = "two_turn", "continued"
Modes = Mapping[str, Sequence[str]]  # model -> how it was given wrong openings
Thoughts = Mapping[str, tuple[float, float]]  # model -> share of plain and of opened answers that hold a thought


def section(scores: Scores, seen: Survey) -> Section:
    """How accuracy changed under adversarial prefills, and how far that can be laid to them."""
    sentences = change_sentences(scores)
    if not sentences:
        absent = "No model was asked with wrong openings in this run."
        return Section("openings", "Under a wrong opening", absent=absent)
    sentences += thought_sentences(scores, seen.thoughts, seen.modes)
    sentences += mode_sentences(scores, seen.modes)
    figure, table = change_figure(scores), change_table(scores)
    drawn, found = ([figure] if figure else []), ([table] if table else [])
    return Section("openings", "Under a wrong opening", sentences, drawn, found)


def change_sentences(scores: Scores) -> list[str]:
    """How far accuracy falls when the answer is opened with a wrong statement; [] where no model was asked so."""
    out = []
    for model in scores.models:
        if change := scores.change(model):
            out += [_change(model, change), *_silence(model, scores)]
        elif scores.opened(model):
            out.append(_unpaired(model, scores))
    missing = [m for m in scores.models if not scores.opened(m) and not scores.change(m)]
    if out and missing:
        out.append(f"{join(missing)} {verb(len(missing), 'was', 'were')} not asked with wrong openings.")
    return out


def _change(model: str, change: Record) -> str:
    low, high = sorted((abs(change["ci_low"]), abs(change["ci_high"])))
    amount = f"{abs(100 * change['estimate']):.1f} points ({spread(low, high)})"
    if change["ci_high"] < 0:
        return f"{model} loses {amount} when its answer is opened with a wrong statement."
    if change["ci_low"] > 0:
        return f"{model} gains {amount} under a wrong opening, which deserves a look."
    return f"{model} changes by {points(change['estimate'])}, within error, under a wrong opening."


def _unpaired(model: str, scores: Scores) -> str:
    """Accuracy under wrong openings where there is nothing to set it against, and why."""
    if not scores.cell(model, PLAIN):
        why = f"{model} was not asked plainly, so no change under a wrong opening can be told"
    elif ADVERSARIAL not in scores.opened(model):
        why = f"{model} was asked with fewer than three wrong openings, so no mean change is told"
    elif (model, "all") in scores.changes:
        why = f"{model} was asked too few questions to say how far a wrong opening changes its accuracy"
    else:
        why = f"No question was put to {model} both plainly and with all three wrong openings, so no change can be told"
    cells = [(s, c) for s in scores.shown([model]) if (c := scores.cell(model, s)) and has_interval(c)]
    if not cells:
        return why + "."
    parts = [f"{percent(c['accuracy'])} {setting_words(s)} ({spread(c['ci_low'], c['ci_high'])})" for s, c in cells]
    return f"{why}. Right answers: {join(parts)}; guessing gives {percent(cells[0][1]['chance'])}."


def _silence(model: str, scores: Scores) -> list[str]:
    """A fall that comes from answers without a choice must not be read as choices of the wrong option."""
    plain, opened = scores.cell(model, PLAIN), scores.cell(model, ADVERSARIAL)
    if not plain or not opened or not plain["n"] or not opened["n"]:
        return []
    before, after = plain["no_answer"] / plain["n"], opened["no_answer"] / opened["n"]
    if after - before < SILENT:
        return []
    return [
        f"After a wrong opening {percent(after)} of its answers name no option ({percent(before)} when asked plainly), "
        "which counts as wrong: so far the fall shows that the opening is not corrected, not that it is repeated."
    ]


def mode_sentences(scores: Scores, modes: Modes) -> list[str]:
    """Who got the wrong opening as a turn of its own, which is another measurement than having to go on from it."""
    asked = [m for m in scores.models if scores.opened(m)]
    apart = [m for m in asked if TWO_TURN in modes.get(m, ())]
    within = [m for m in asked if m not in apart and CONTINUED in modes.get(m, ())]
    if not apart:
        return []
    told = f"{join(apart)} {verb(len(apart), 'was', 'were')} told the wrong opening in an earlier turn and asked to "
    if not within:
        return [told + "reconsider, and did not have to go on from it."]
    return [
        f"{told}reconsider, while {join(within)} went on from it as from words of {verb(len(within), 'its', 'their')} "
        "own: the changes of the former and of the latter are not the same measurement."
    ]


def thought_sentences(scores: Scores, thoughts: Thoughts, modes: Modes) -> list[str]:
    """Whether a model that thinks before it answers was kept from that by the opening as well."""
    out = []
    for model in scores.models:
        before, after = thoughts.get(model, (0.0, 0.0))
        if before - after < THOUGHT or not scores.opened(model):
            continue
        held = f"{percent(after)} of those" if after else "none of those"
        cut = TWO_TURN not in modes.get(model, ())
        cause = "where the chat template closes or leaves out the thought: the" if cut else "so the"
        out.append(
            f"{percent(before)} of the plain answers of {model} hold a written thought and {held} after a wrong "
            f"opening, {cause} change also contains the loss of thinking."
        )
    return out


def change_figure(scores: Scores) -> Figure | None:
    """Plain (filled) to adversarial (hollow) accuracy per model and stratum."""
    groups, said = [], []
    for model in scores.models:
        pairs = {k: (scores.cell(model, "plain", k), scores.cell(model, "adversarial", k)) for k in scores.told_apart}
        rows = tuple(Dot(k, a["accuracy"], other=b["accuracy"]) for k, (a, b) in pairs.items() if a and b)
        change = scores.change(model)
        if rows and change:
            groups.append(Group(model, f"{points(change['estimate'])} ({interval(change, True)})", rows))
            parts = (f"{d.kind} {percent(d.value)} to {percent(d.other)}" for d in rows)
            said.append(f"{model}: {', '.join(parts)}")
    if not groups:
        return None
    values = [v for g in groups for d in g.dots for v in (d.value, d.other or 0.0)]
    legend = stratum_keys(scores.told_apart)
    label = "Accuracy without and with a wrong opening. " + "; ".join(said) + "."
    caption = (
        "From plain (filled) to a wrong opening (hollow, mean of three). At the right: the change over all questions."
    )
    return Figure(dots(label, groups, axis(values, percent_tick, 0.0), legend), caption)


def change_table(scores: Scores) -> Table | None:
    """Adversarial minus plain accuracy per model and stratum, paired over the same questions."""
    rows = []
    for model in scores.models:
        changes = [scores.change(model, stratum) for stratum in scores.strata]
        if any(changes):
            cells = (Cell(signed(c["estimate"]), interval(c, True)) if c else Cell("–") for c in changes)
            rows.append((Cell(model), *cells))
    if not rows:
        return None
    note = "Adversarial minus plain accuracy on the same questions: negative is a fall."
    return Table("Change under a wrong opening, in points", ("Model", *scores.strata), tuple(rows), note)
