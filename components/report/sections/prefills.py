"""Adversarial prefills: what they did to the accuracy of each model, and what else changed together with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.report.charts import Dot, Group, axis, dots, percent_tick, stratum_keys
from components.report.page import Cell, Figure, Section, Table
from components.report.scores import PLAIN, Record, Scores, setting_words
from components.report.survey import Survey
from components.report.tables import interval
from components.report.wording import has_interval, is_number, join, percent, points, signed, spread, verb
from components.scoring.outcomes import ADVERSARIAL
from components.scoring.prefills import OUTCOMES, Prefilled
from components.scoring.shares import Share

SILENT = 0.2  # more answers without a choice, as a share, than are worth a sentence: our choice
THOUGHT = 0.1  # fewer answers that hold a thought, as a share, likewise
TWO_TURN, CONTINUED = "two_turn", "continued"
MANY = 3
TITLE = "After an adversarial prefill"
Modes = Mapping[str, Sequence[str]]  # model -> how it was given prefills
Thoughts = Mapping[str, tuple[float, float]]  # model -> share of plain and of prefilled answers that hold a thought


def section(scores: Scores, seen: Survey) -> Section:
    """How accuracy changed after adversarial prefills, what became of them, and what else changed."""
    sentences = change_sentences(scores)
    if not sentences:
        absent = "No model was asked with adversarial prefills in this run."
        return Section("openings", TITLE, absent=absent)
    sentences += outcome_sentences(scores, seen.prefills)
    sentences += thought_sentences(scores, seen.thoughts, seen.modes)
    sentences += mode_sentences(scores, seen.modes)
    figure, found = change_figure(scores), [change_table(scores), outcome_table(scores, seen.prefills)]
    return Section("openings", TITLE, sentences, [figure] if figure else [], [table for table in found if table])


def change_sentences(scores: Scores) -> list[str]:
    """How far accuracy changes when a wrong statement begins the answer; [] where no model was asked so."""
    out = []
    for model in scores.models:
        if change := scores.change(model):
            out += [_change(model, change), *_silence(model, scores)]
        elif scores.opened(model):
            out.append(_unpaired(model, scores))
    missing = [m for m in scores.models if not scores.opened(m) and not scores.change(m)]
    if out and missing:
        out.append(f"{join(missing)} {verb(len(missing), 'was', 'were')} not asked with prefills.")
    return out


def _change(model: str, change: Record) -> str:
    low, high = sorted((abs(change["ci_low"]), abs(change["ci_high"])))
    amount = f"{abs(100 * change['estimate']):.1f} points ({spread(low, high)})"
    if change["ci_high"] < 0:
        return f"{model} loses {amount} after an adversarial prefill, a wrong statement that begins its answer."
    if change["ci_low"] > 0:
        return (
            f"{model} gains {amount} after an adversarial prefill, which calls for a check of the prefills and answers."
        )
    return f"{model} changes by {points(change['estimate'])}, within error, after an adversarial prefill."


def _unpaired(model: str, scores: Scores) -> str:
    """Accuracy after prefills where there is nothing to set it against, and why."""
    if not scores.cell(model, PLAIN):
        why = f"{model} was not asked plainly, so no change after a prefill can be told"
    elif ADVERSARIAL not in scores.opened(model):
        why = f"{model} was asked with fewer than three prefills, so no mean change is told"
    elif (model, "all") in scores.changes:
        why = f"{model} was asked too few questions to say how far a prefill changes its accuracy"
    else:
        why = f"No question was put to {model} both plainly and with all three prefills, so no change can be told"
    cells = [(s, c) for s in scores.shown([model]) if (c := scores.cell(model, s)) and has_interval(c)]
    if not cells:
        return why + "."
    parts = [f"{percent(c['accuracy'])} {setting_words(s)} ({spread(c['ci_low'], c['ci_high'])})" for s, c in cells]
    return f"{why}. Right answers: {join(parts)}; guessing gets {percent(cells[0][1]['chance'])}."


def _silence(model: str, scores: Scores) -> list[str]:
    """A fall that comes from answers without a choice must not be read as choices of the wrong option."""
    plain, opened = scores.cell(model, PLAIN), scores.cell(model, ADVERSARIAL)
    if not plain or not opened or not plain["n"] or not opened["n"]:
        return []
    before, after = plain["no_answer"] / plain["n"], opened["no_answer"] / opened["n"]
    if after - before < SILENT:
        return []
    return [
        f"After a prefill {percent(after)} of its answers name no option ({percent(before)} when asked plainly), "
        "which counts as wrong. This part of the fall shows that the prefill is not corrected, not that it is repeated."
    ]


def outcome_sentences(scores: Scores, found: Mapping[str, Prefilled]) -> list[str]:
    """What became of the prefills, by model: corrected, kept by words or by silence, or no option named.

    Of more than MANY models the table alone tells it.
    """
    out: list[str] = []
    if len(found) > MANY:
        return out
    for model in scores.models:
        if (own := found.get(model)) is None:
            continue
        corrected, kept, silent, none = (own.shares[name] for name in OUTCOMES)
        right = f", {percent(own.right / corrected.count)} of these to the right one" if corrected.count else ""
        out.append(
            f"Of {own.n:,} answers of {model} after a prefill, {_with_interval(corrected)} name another option{right}; "
            f"{_with_interval(kept)} say the wrong option again, {_with_interval(silent)} add nothing, so that it "
            f"stands; {_with_interval(none)} say something and name no option."
        )
    return out


def outcome_table(scores: Scores, found: Mapping[str, Prefilled]) -> Table | None:
    """The same as shares, a row a model."""
    rows = []
    for model in scores.models:
        if (own := found.get(model)) is not None:
            cells = (Cell(percent(s.value), spread(s.low, s.high)) for s in (own.shares[name] for name in OUTCOMES))
            corrected, *others = cells
            right = percent(own.right / own.n)
            rows.append((Cell(model), corrected, Cell(right), *others, Cell(f"{own.n:,}"), Cell(f"{own.unnamed:,}")))
    named = ("Corrected", "To the right one", "Kept, said again", "Kept by silence", "No option named")
    note = (
        "Shares of the answers after a prefill, with 95 % intervals by question group. Kept by silence: the model "
        "ended its answer without a word. Not counted: the prefill names no one option."
    )
    return (
        Table(
            "What became of the prefills", ("Model", *named, "Answers", "Not counted"), tuple(rows), note, compact=True
        )
        if rows
        else None
    )


def _with_interval(share: Share) -> str:
    return f"{percent(share.value)} ({spread(share.low, share.high)})"


def mode_sentences(scores: Scores, modes: Modes) -> list[str]:
    """Who got the prefill as a turn of its own, which is another measurement than having to go on from it."""
    asked = [m for m in scores.models if scores.opened(m)]
    apart = [m for m in asked if TWO_TURN in modes.get(m, ())]
    within = [m for m in asked if m not in apart and CONTINUED in modes.get(m, ())]
    if not apart:
        return []
    told = f"{join(apart)} {verb(len(apart), 'was', 'were')} given the prefill in an earlier turn and asked to "
    if not within:
        return [told + "reconsider, and did not have to go on from it."]
    return [
        f"{told}reconsider, while {join(within)} went on from it within {verb(len(within), 'its', 'their')} own "
        "answer: the changes of the former and of the latter are not the same measurement."
    ]


def thought_sentences(scores: Scores, thoughts: Thoughts, modes: Modes) -> list[str]:
    """Whether a model that thinks before it answers was kept from that by the prefill as well."""
    out = []
    for model in scores.models:
        before, after = thoughts.get(model, (0.0, 0.0))
        if before - after < THOUGHT or not scores.opened(model):
            continue
        held = f"{percent(after)} of those" if after else "none of those"
        cut = TWO_TURN not in modes.get(model, ())
        cause = "where the chat template closes or leaves out the thought: the" if cut else "so the"
        out.append(
            f"{percent(before)} of the plain answers of {model} hold a written thought and {held} after a "
            f"prefill, {cause} change also contains the loss of thinking."
        )
    return out


def change_figure(scores: Scores) -> Figure | None:
    """Plain (filled) to adversarial (hollow) accuracy per model and stratum."""
    groups, said = [], []
    for model in scores.models:
        pairs = {k: (scores.cell(model, "plain", k), scores.cell(model, "adversarial", k)) for k in scores.told_apart}
        # Of a few questions none may be of one kind; it then has cells without an accuracy.
        rows = tuple(
            Dot(k, a["accuracy"], other=b["accuracy"])
            for k, (a, b) in pairs.items()
            if a and b and is_number(a["accuracy"]) and is_number(b["accuracy"])
        )
        change = scores.change(model)
        if rows and change:
            groups.append(Group(model, f"{points(change['estimate'])} ({interval(change, True)})", rows))
            parts = (f"{d.kind} {percent(d.value)} to {percent(d.other)}" for d in rows)
            said.append(f"{model}: {', '.join(parts)}")
    if not groups:
        return None
    values = [v for g in groups for d in g.dots for v in (d.value, d.other or 0.0)]
    legend = stratum_keys(scores.told_apart)
    label = "Accuracy without and with a prefill. " + "; ".join(said) + "."
    caption = (
        "From plain (filled) to after a prefill (hollow, mean of three). At the right: the change over all questions."
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
    return Table("Change after a prefill, in points", ("Model", *scores.strata), tuple(rows), note)
