"""The top of the page: what was compared, what was decided and why, how sure that is, and the figures beside it."""

from __future__ import annotations

from collections.abc import Sequence

from components.report.claims import guess_level
from components.report.page import Headline
from components.report.scores import PLAIN, Record, Scores, setting_words
from components.report.sections.answered import unread_right
from components.report.sections.gate import TOO_SMALL, failure, is_difference, rules, subject
from components.report.sections.prefills import change_sentences
from components.report.wording import has_interval, is_number, join, percent, points, spread


def headline(scores: Scores, decision: Record | None) -> Headline:
    """The first thing a reader sees: what was compared, what was decided and why, and how sure that is."""
    if decision is None and len(scores.models) == 1 and scores.cell(scores.models[0], scores.lead):
        return _alone(scores, scores.models[0])
    if decision is None:
        return Headline(None, _names(scores.models, "scored"), (_scope(scores, scores.models), _no_gate()))
    baseline, candidate = decision["baseline"], decision["candidate"]
    promoted = decision["decision"] == "promote"
    reasons = rules(decision)
    failed = [r for r in reasons if not r.get("passed")]
    title = f"{candidate} is promoted over {baseline}" if promoted else f"{candidate} does not replace {baseline}"
    why = (
        f"The gate says promote: each of its {len(reasons)} rules holds."
        if promoted
        else f"The gate refuses, because {join([failure(r) for r in failed], '; ')}."
    )
    if decision.get("verdict") == TOO_SMALL:
        why += " The questions are too few for it to pass."
    scope = f"{candidate} (candidate) was compared with {baseline} (baseline). " + _scope(scores, [baseline, candidate])
    return Headline(decision["decision"], title, (scope, why, error_sentence(reasons)))


def facts(scores: Scores, decision: Record | None) -> list[tuple[str, str]]:
    """Names and values of the few figures that stand beside the headline."""
    found = []
    names = [decision["candidate"], decision["baseline"]] if decision else scores.models[:2]
    for name in dict.fromkeys(names):
        for stratum in scores.told_apart:
            cell = scores.cell(name, scores.lead, stratum)
            if cell and is_number(cell["accuracy"]):
                found.append((f"{name}, {stratum}" if len(scores.models) > 1 else stratum, percent(cell["accuracy"])))
    adversarial = scores.cell(scores.models[0], "adversarial")
    if len(scores.models) == 1 and adversarial and is_number(adversarial["accuracy"]):
        found.append(("after a prefill", percent(adversarial["accuracy"])))
    return found


def error_sentence(reasons: Sequence[Record]) -> str:
    """Whether any measured difference between the two models is larger than its error."""
    measured = [r for r in reasons if has_interval(r) and is_difference(r)]
    if not measured:
        return "The decision came without intervals, so how far it is due to chance cannot be said."
    clear = [r for r in measured if r["ci_low"] > 0 or r["ci_high"] < 0]
    if not clear:
        return (
            "Every measured difference between the two is within its error, by intervals at the level of this "
            "decision. That is no sign that the two are alike."
        )
    rest = [r for r in measured if r not in clear]
    tail = f" Within error: {_amounts(rest)}." if rest else ""
    return f"Beyond error: {_amounts(clear)}.{tail}"


def _amounts(reasons: Sequence[Record]) -> str:
    return join([f"{subject(r)} accuracy {points(r['estimate'])}" for r in reasons])


def _scope(scores: Scores, models: Sequence[str]) -> str:
    """How many questions each of `models` was asked."""
    cells = [c for m in models if (c := scores.cell(m, scores.lead))] or [scores.first]
    few, many = min(c["n"] for c in cells), max(c["n"] for c in cells)
    count = len(scores.benchmarks)
    source = f"from {count} benchmark{'s' if count != 1 else ''}"
    if few < many:
        return f"They were asked {few:,} to {many:,} questions {source}."
    groups = "" if cells[-1]["groups"] == many else f" ({cells[-1]['groups']:,} distinct)"
    return f"{'Each' if len(models) > 1 else 'It'} was asked {many:,} questions{groups} {source}."


def _alone(scores: Scores, model: str) -> Headline:
    """One model by itself: how much it gets right, how sure that is, and how a prefill changes it."""
    cell = scores.cell(model, scores.lead)
    assert cell is not None
    accuracy, chance = percent(cell["accuracy"]), percent(guess_level(cell))
    title, scope = f"{model} answers {accuracy} of the questions right", _scope(scores, [model])
    if scores.lead != PLAIN:
        return Headline(None, f"{title} {setting_words(scores.lead)}", (scope, *change_sentences(scores)))
    interval = f" (95 % interval {spread(cell['ci_low'], cell['ci_high'])})" if has_interval(cell) else ""
    right = f"{accuracy} of its plain answers are right{interval}; guessing gets {chance}."
    if (most := percent(unread_right(cell))) != accuracy:
        right += f" If every answer that could not be read were right, it would be {most}."
    return Headline(None, title, (f"{scope} {right}", *change_sentences(scores)))


def _no_gate() -> str:
    return "No gate decision came with these scores, so nothing is said here about which model should be served."


def _names(models: Sequence[str], verb: str) -> str:
    return f"{join(models)} {verb}"
