"""The gate's decision in plain sentences: the headline of the report and why a candidate was promoted or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.report.scores import PLAIN, Record, Scores, setting_words
from components.report.sections.prefills import drop_sentences
from components.report.wording import has_interval, is_difference, join, percent, points, spread, subject


@dataclass(frozen=True)
class Headline:
    verdict: str | None  # "promote", "refuse", or None where no gate ran
    title: str
    sentences: tuple[str, ...]


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
    scope = f"{candidate} (candidate) was compared with {baseline} (baseline). " + _scope(scores, [baseline, candidate])
    return Headline(decision["decision"], title, (scope, why, error_sentence(reasons)))


def error_sentence(reasons: Sequence[Record]) -> str:
    """Whether any measured difference between the two models is larger than its error."""
    measured = [r for r in reasons if has_interval(r) and is_difference(r)]
    if not measured:
        return "The decision came without intervals, so how far it is due to chance cannot be said."
    clear = [r for r in measured if r["ci_low"] > 0 or r["ci_high"] < 0]
    if not clear:
        return (
            "Every measured difference between the two is within its error: on this many questions the two "
            "cannot be told apart."
        )
    rest = [r for r in measured if r not in clear]
    tail = f" Within error: {_amounts(rest)}." if rest else ""
    return f"Beyond error: {_amounts(clear)}.{tail}"


def rules(decision: Record) -> list[Record]:
    """The reasons that can fail; the record of how many decisions were made before is not one of them."""
    return [r for r in decision.get("reasons") or [] if r.get("rule") != "look"]


def failure(reason: Record) -> str:
    """Why a rule of the gate does not hold, as part of a sentence."""
    rule, what = str(reason.get("rule")), subject(reason)
    if not reason.get("n"):
        text = str(reason.get("text") or rule).rstrip(".")
        return text[:1].lower() + text[1:]
    if rule.endswith("_superior"):
        return f"{what} accuracy is not shown to be better"
    if rule.endswith("_not_inferior"):
        return f"a loss of {what} accuracy beyond the margin is not excluded"
    if rule.endswith("_no_answer"):
        setting = rule.removesuffix("_no_answer")
        return f"more than {percent(reason.get('bound'), 0)} of {setting} answers may name no option"
    return f"the rule {rule.replace('_', ' ')} does not hold"


def gate_sentences(decision: Record) -> list[str]:
    """Verdict by verdict, and how strict this decision was because of earlier ones."""
    out = []
    failed = [r for r in rules(decision) if not r.get("passed")]
    held = [r for r in rules(decision) if r.get("passed")]
    if failed:
        out.append(f"{len(failed)} of {len(failed) + len(held)} rules do not hold; one would be enough to refuse.")
    elif held:
        out.append(f"All {len(held)} rules hold.")
    out += [f"{text[:1].upper()}{text[1:]}." for text in map(failure, failed)]
    out += [
        str(r.get("text")) + "." for r in decision.get("reasons") or [] if r.get("rule") == "look" and r.get("text")
    ]
    return out


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
    """One model by itself: how much it gets right, how sure that is, and what a wrong opening does to it."""
    cell = scores.cell(model, scores.lead)
    assert cell is not None
    accuracy, chance = percent(cell["accuracy"]), percent(cell["chance"])
    title, scope = f"{model} answers {accuracy} of the questions right", _scope(scores, [model])
    if scores.lead != PLAIN:
        return Headline(None, f"{title} {setting_words(scores.lead)}", (scope, *drop_sentences(scores)))
    interval = f" (95 % interval {spread(cell['ci_low'], cell['ci_high'])})" if has_interval(cell) else ""
    right = f"{accuracy} of its plain answers are right{interval}; guessing gives {chance}."
    return Headline(None, title, (f"{scope} {right}", *drop_sentences(scores)))


def _no_gate() -> str:
    return "No gate decision came with these scores, so nothing is said here about which model should be served."


def _names(models: Sequence[str], verb: str) -> str:
    return f"{join(models)} {verb}"
