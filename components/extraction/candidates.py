"""Candidates: every place where an output says, or seems to say, what its answer is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.extraction import cues
from components.extraction.subjects import value_before
from components.extraction.values import AMBIGUOUS, Value, View, letter_at, value_at


@dataclass(frozen=True)
class Candidate:
    """An option named in `span` (text[start:end]); `rule` says by what kind of words, `strength` what they weigh."""

    rule: str
    strength: int
    start: int
    end: int
    letter: str
    by: str = "letter"
    span: str = ""
    status: str = ""


def candidate(view: View, rule: str, strength: int, begin: int, value: Value) -> Candidate:
    """A candidate whose span reaches from its cue to its value."""
    start, end = min(begin, value.start), max(begin, value.end)
    return Candidate(rule, strength, start, end, value.letter, value.by, view.text[start : min(end, start + 200)])


def declared(view: View) -> Iterator[Candidate]:
    """Options named after a cue: "the answer is B", "\\\\boxed{B}", "I choose B", "the incorrect statement is B"."""
    low = view.low
    for cue in cues.PLAIN if low.isascii() else cues.ALL:
        if cue.word in low:
            yield from _after(view, cue)


def _after(view: View, cue: cues.Cue) -> Iterator[Candidate]:
    low = view.low
    for found in cue.pattern.finditer(low):
        start, end = found.span()
        if start and low[start - 1].isalnum() and low[start - 1] < "\u2e80" and low[start].isalnum() and low[start] < "\u2e80":
            continue
        if cue.before and not cue.before.search(low, max(0, start - cues.BEFORE), start):
            continue
        if cue.checked and cues.denied(low, start, found.group()):
            continue
        value = value_at(view, end, sure=cue.sure or low[end - 1 : end] == ":")
        if value and not (low[value.end : value.end + 3].lstrip("\"')]. ").startswith("?") or (cue.checked and cues.asked(low, value.end))):
            yield candidate(view, cue.rule, cue.strength, start, value)


def called_right(view: View) -> Iterator[Candidate]:
    """Options that are the subject of "is correct", "fits best", "is the exception"."""
    low = view.low
    for cue in cues.BACKWARD:
        if cue.word not in low or cue.before is None:
            continue
        for found in cue.pattern.finditer(low):
            before = cue.before.search(low, max(0, found.start() - cues.BEFORE), found.start())
            if not before or cues.asked(low, found.end()):
                continue
            at = before.start() + (1 if before.group()[:1].isalnum() or before.group()[:1] in ")\"'" else 0)
            value = value_before(view, at)
            if value:
                yield candidate(view, cue.rule, cue.strength, found.end(), value)


def after_colons(view: View) -> Iterator[Candidate]:
    """Options after a noun and a colon at the start of a line: "Final choice: B", "Diagnosis: …"."""
    low = view.low
    for colon in cues.COLON.finditer(low):
        window = max(0, colon.start() - cues.BEFORE)
        if cues.NOUN_BEFORE.search(low, window, colon.start()):
            rule, strength = "answer_is", cues.DECLARED
        elif cues.WEAK_NOUN_BEFORE.search(low, window, colon.start()):
            rule, strength = "weak_noun", cues.WEAK + 5
        else:
            continue
        value = value_at(view, colon.end(), sure=True)
        if value and not cues.asked(low, value.end):
            yield candidate(view, rule, strength, colon.start(), value)
    if "\na" in low and (found := cues.Q_THEN_A.search(low)) and (value := value_at(view, found.end(), sure=True)):
        yield candidate(view, "answer_is", cues.DECLARED, found.end(), value)


def mentioned(view: View) -> Iterator[Candidate]:
    """A letter that ends a sentence after words that conclude or name: "So B.", "the diagnosis is A."."""
    low = view.low
    for found in cues.MENTION.finditer(view.text):
        if found.group() not in view.options.letters:
            continue
        begin = max(0, found.start() - cues.BEFORE - 40)
        for rule, strength, before in cues.MENTIONS:
            lead = before.search(low, begin, found.start())
            if not lead:
                continue
            if not cues.denied(low, lead.start() + 1, "") and not cues.asked(low, found.end()):
                value = letter_at(view, found.start())
                if value:
                    yield candidate(view, rule, strength, lead.start(), value)
            break


__all__ = ["AMBIGUOUS", "Candidate", "after_colons", "called_right", "candidate", "declared", "mentioned"]
