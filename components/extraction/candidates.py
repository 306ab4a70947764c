"""Candidates: every place where an output says, or seems to say, what its answer is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.extraction import cues, governing, tables
from components.extraction.cues import before as before_cues
from components.extraction.places import UNKNOWN, Value, View, called_wrong, text_at
from components.extraction.reading import Candidate
from components.extraction.subjects import value_before
from components.extraction.values import letter_at, value_at


def candidate(view: View, rule: str, strength: int, begin: int, value: Value) -> Candidate:
    """A candidate whose span reaches from its cue to its value."""
    start, end = min(begin, value.start), max(begin, value.end)
    return Candidate(rule, strength, start, end, value.letter, value.by, view.text[start : min(end, start + 200)])


def declared(view: View, present: list[cues.Cue], last_only: bool) -> Iterator[Candidate]:
    """Options named after a cue: "the answer is B", "\\boxed{B}", "I choose B", "the incorrect statement is B".

    Of each cue the last place that counts, where that is all that can win.
    """
    for cue in present:
        if places := [found.span() for found in cue.pattern.finditer(view.low)]:
            yield from _after(view, cue, places, last_only and cue.rule not in tables.ENCLOSING)


def _after(view: View, cue: cues.Cue, places: list[tuple[int, int]], last_only: bool) -> Iterator[Candidate]:
    low = view.low
    for start, end in reversed(places) if last_only else places:
        if start and low[start - 1].isalnum() and low[start - 1] < "\u2e80" and "a" <= low[start] < "\u2e80":
            continue
        if cue.before and not cue.before.search(low, max(0, start - cues.BEFORE), start):
            continue
        if cue.checked and (governing.denied(low, start, low[start:end]) or "previous" in low[start:end]):
            continue
        if cue.foreign and _denied_abroad(low, start, end):
            continue
        value = value_at(view, end, sure=cue.sure or low[end - 1 : end] == ":")
        if value is None and cue.strength == cues.DECLARED:
            value = apposed(view, end) or _unknown(view, end)
        if value and not (
            low[value.end : value.end + 3].lstrip("\"')]. ").startswith("?")
            or (cue.checked and governing.asked(low, value.end))
        ):
            if cue.checked and called_wrong(view, value):
                continue
            if low[end - 1] == "|" and "\n" in low[end : value.start]:
                continue  # the heading of a table: grids.py
            # A letter that is no option's outranks weaker kinds, but no earlier answer: "B. Actually, the answer is F."
            strength = cue.strength - 1 if value.letter == UNKNOWN else cue.strength
            yield candidate(view, cue.rule, strength, start, value)
            if last_only and value.letter != UNKNOWN:
                return


def _denied_abroad(low: str, start: int, end: int) -> bool:
    """Whether a word of denial of another language stands in the cue or right before it in its clause."""
    near = max(0, start - 20)
    begin = max(near, *[low.rfind(mark, near, start) + 1 for mark in ".,;:!?\n"])
    return cues.FOREIGN_DENIAL.search(low, begin, end) is not None


def called_right(view: View, present: list[cues.Cue]) -> Iterator[Candidate]:
    """Options that are the subject of "is correct", "fits best", "is the exception"."""
    low = view.low
    for cue in present:
        if cue.before is None:
            continue
        for found in cue.pattern.finditer(low):
            before = cue.before.search(low, max(0, found.start() - cues.BEFORE), found.start())
            if not before or governing.asked(low, found.end()):
                continue
            if cue.foreign and _denied_abroad(low, found.start(), found.end()):
                continue
            at = before.start() + (1 if before.group()[:1].isalnum() or before.group()[:1] in ")\"'" else 0)
            value = value_before(view, at)
            if value:
                strength = cue.strength
                if strength == cues.SAID and _concludes(low, value.start, found.end()):
                    strength = cues.RIGHT
                yield candidate(view, cue.rule, strength, found.end(), value)


def _concludes(low: str, start: int, end: int) -> bool:
    """Whether "B is correct" is the output's conclusion, not the judgement of one statement among others."""
    if not low[end:].strip(" .!\n\"')\x1e"):
        return True
    return bool(_SO.search(low, max(0, start - 40), start))


_SO = re.compile(r"\b(?:so|thus|therefore|hence|consequently|overall|in conclusion|in summary)\b[^.\n;]{0,30}$")


def after_question(view: View) -> Iterator[Candidate]:
    """The option after an "A:" that follows its "Q:"."""
    found = cues.Q_THEN_A.search(view.low) if "\na" in view.low and "q" in view.low else None
    if found and (value := value_at(view, found.end(), sure=True)):
        yield candidate(view, "answer_is", cues.DECLARED, found.end(), value)


def mentioned(view: View) -> Iterator[Candidate]:
    """A letter that ends a sentence after words that conclude or name: "So B.", "the diagnosis is A."."""
    low = view.low
    for found in before_cues.mention(view.options.order).finditer(view.text):
        at = found.start()
        before = low[max(0, at - _LONGEST_LEAD) : at].rstrip(" \"'([\n")
        word = before[max(before.rfind(" "), before.rfind("\n")) + 1 :].rstrip(",:.;")
        if word in before_cues.LEADS or word[-1:] in _LEADING_SIGNS:  # a quick check before the costly one
            yield from _mention(view, at)
        elif view.low[at - 1 : at] == "(" or view.low[at - 2 : at] == ": " or view.low.endswith("(option ", 0, at):
            yield from _own_text(view, at)


_LEADING_SIGNS = ("∴", "→", "⇒", ">")
_LONGEST_LEAD = 24  # characters: the longest word that leads, and the marks after it


def _mention(view: View, at: int) -> Iterator[Candidate]:
    yield from _concluding(view, at, letter_at(view, at))


def _concluding(view: View, begin: int, value: Value | None) -> Iterator[Candidate]:
    """The value at `begin` as a candidate, if words that conclude or name stand before it."""
    if value is None or called_wrong(view, value):
        return
    own = before_cues.OWN_MENTIONS if value.by == "both" else ()
    far = max(0, begin - 2 * cues.BEFORE)  # the search stays near: a rare mark may be a long text away
    first = max(far, *[view.low.rfind(mark, far, begin - 1) - 1 for mark in ".?!\n"])
    for rule, strength, before in (*before_cues.MENTIONS, *own):
        lead = before.search(view.low, first, begin)
        if lead:
            if not governing.denied(view.low, lead.start() + 1, "") and not governing.asked(view.low, value.end):
                yield candidate(view, rule, strength, lead.start(), value)
            return


def _own_text(view: View, at: int) -> Iterator[Candidate]:
    """A letter beside its own option's text under words that conclude: "Thus: captopril (C)", "makes it dengue: C"."""
    bracketed = view.low[at - 1 : at] != " " or view.low.endswith("(option ", 0, at)
    value = value_before(view, at + 2) if bracketed else _text_then_letter(view, at)
    if value and value.by == "both" and value.letter in view.options.letters:
        yield from _concluding(view, value.start, value)


def _text_then_letter(view: View, at: int) -> Value | None:
    """ "dengue: C": the text right before the colon, where it is the letter's own."""
    text = value_before(view, at - 2)
    if text and text.by == "text" and text.letter == view.text[at]:
        return Value(text.letter, text.start, at + 1, "both")
    return None


_PLACE = re.compile(r"[,(:] ?(?:namely |i\.e\. |which is |the )?")
_UNKNOWN = re.compile(r" ?(?:option |choice )?[\"'(\[]*([A-Z])[\"')\]]*(?:[.\n]|\s*$)")


def apposed(view: View, pos: int) -> Value | None:
    """The one option whose text explains what a cue announces: "is the beta blocker, metoprolol"."""
    end = governing.END_OF_CLAUSE.search(view.low, pos, pos + 200)
    stop = end.start() if end else min(len(view.low), pos + 200)
    head = view.low[pos:stop]
    if governing.DENYING.search(head):
        return None
    found = [text_at(view, place.end()) for place in _PLACE.finditer(view.low, pos, stop)]
    named = [(text, at) for text, at in (f for f in found if f)]
    if len(named) != 1 or named[0][0].weak or (named[0][1] < stop and view.low[named[0][1]] not in "),;"):
        return None
    text, at = named[0]
    return Value(text.letter, at - 1, at, "text")


def _unknown(view: View, pos: int) -> Value | None:
    """A letter that is no option's: said, but no answer."""
    found = _UNKNOWN.match(view.text, pos)
    if found and found.group(1) not in view.options.letters:
        return Value(UNKNOWN, found.start(1), found.end(1), "letter")
    return None
