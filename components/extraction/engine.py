"""Which option an output chose: candidates, one ordering, one decision.

1. Thoughts are dropped (thoughts.py); one that never ends means no answer.
2. Structured answers are decoded (structured.py), and the text is cleaned of markup (text.py).
3. Every place that names an answer is a candidate with a kind, a strength and a position.
4. The strongest kind wins, and within a kind the last one. A correction ("Wait, B is better") outranks what stands
   before it. Two options at once, or a letter with another option's text, are a candidate for no answer.
5. What follows an invented next question or turn is not read once there is an answer.

Change EXTRACTION_VERSION with any change of what is extracted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from components.extraction import cues, tables
from components.extraction.candidates import Candidate, after_colons, called_right, candidate, declared, mentioned
from components.extraction.lines import lines
from components.extraction.normal import prepare
from components.extraction.sentence import last_sentence
from components.extraction.structured import Field, fields
from components.extraction.text import SPECIAL_MARK, clean, lower, mark_special
from components.extraction.thoughts import without_thought
from components.extraction.values import AMBIGUOUS, View, value_at
from components.extraction.verdicts import verdicts

EXTRACTION_VERSION = "4"
HEAD, TAIL = 20_000, 60_000  # of a longer answer only its beginning and its end are read
_CORRECTED = cues.DECLARED + 5
_STRONG = "|".join(tables.CORRECTIONS)
_STRONG_MARK = re.compile(rf"(?:^|[\n.,;:!?\-–—(]\s*|\b(?:but|and|however|oh|so|actually|hmm),? ){_STRONG}\b".replace(_STRONG, f"(?:{_STRONG})"))
_SMALL = "|".join(tables.SMALL_CORRECTIONS)
_SMALL_MARK = re.compile(
    rf"(?:^|[\n.,;:!?\-–—(]\s*|\b(?:but|and|however|oh|hmm),? )(?:{_SMALL})[,:;.!\-–—]{{0,3}} ?(?:(?:no|wait|actually|sorry|it)[, ]{{1,2}})?"
    r"(?:(?:it|that|this)(?:'s| is| should be| must be| has to be| would be)|(?:to|is|was|i would say|i'd say|make (?:it|that))\b)?"
)
_CHANGED = re.compile(r"chang(?:e|ed|ing) (?:my|the) (?:answer|choice|mind) (?:\w+ ){0,2}?to\b")
_SOFT = re.compile(r"(?:^|[\n.;!?]\s*)(?:however|but|instead|rather|yet),?\s$")
_RUN_ON = re.compile(rf"\n\s*(?:{'|'.join(tables.RUN_ONS)})|{SPECIAL_MARK}")
_BETWEEN = re.compile(r"[\s\"'()\[\]{}$,;/&.+<>\x1e]*(?:and|or)?[\s\"'()\[\]{}$,<>]*(?:\\?boxed\s*\{?)?$")
_MAX_RUN_ONS = 4


@dataclass(frozen=True)
class Reading:
    """What was read: a letter, by which rule (or why none), and every candidate with its status."""

    letter: str | None
    read_by: str
    candidates: tuple[Candidate, ...] = ()


def extract(output: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that `output` chose, or None; never raises for any text."""
    return read(output, options).letter


def read(output: str, options: Mapping[str, str]) -> Reading:
    """What `output` chose and why. `options` is {letter: text}, letters A to Z."""
    spoken = without_thought(output)
    if spoken is None:
        return Reading(None, "unclosed_thought")
    if len(spoken) > HEAD + TAIL:
        spoken = spoken[:HEAD] + "\n\n" + spoken[-TAIL:]
    spoken = mark_special(spoken)
    if not spoken.strip(" \n\t\r\x1e"):
        return Reading(None, "empty")
    known = prepare(options)
    found = fields(spoken)
    text = clean(_without(spoken, found)).strip(" \n")
    view = View(text, lower(text), known)
    if found:
        structured = tuple(_structured(found, view))
        if structured:
            return _decide(view, (*structured, *(c for c in _candidates(view) if c.rule == "boxed")))
    for mark in list(_RUN_ON.finditer(view.low))[:_MAX_RUN_ONS]:
        part = View(text[: mark.start()], view.low[: mark.start()], known)
        if part.low.strip(" \n\x1e"):
            reading = _decide(part, _candidates(part))
            if reading.candidates and reading.read_by != "none":
                return reading
    return _decide(view, _candidates(view))


def _without(text: str, found: list[Field]) -> str:
    """The text outside the decoded objects."""
    kept, at = [], 0
    for part in found:
        kept.append(text[at : part.start])
        at = max(at, part.end)
    return "\n".join([*kept, text[at:]]) if found else text


def _structured(found: list[Field], view: View) -> Iterator[Candidate]:
    """What the answer fields name: the whole value is an option, or says which one."""
    for part in found:
        letters = set()
        for value in part.values:
            text = clean(value).strip()
            inner = View(text, lower(text), view.options)
            named = value_at(inner, 0, sure=True)
            if named is None or named.letter == AMBIGUOUS or (named.by == "text" and len(text) > 3 * (named.end - named.start) + 40):
                reading = _decide(inner, _candidates(inner))
                letter = reading.letter or (AMBIGUOUS if named or reading.read_by == "ambiguous" else None)
            else:
                letter = named.letter
            if letter:
                letters.add(letter)
        if letters:
            letter = letters.pop() if len(letters) == 1 else AMBIGUOUS
            span = " | ".join(part.values)[:200]
            yield Candidate("json", cues.DECLARED, part.start, part.end, letter, "field", span)


def _candidates(view: View) -> tuple[Candidate, ...]:
    """Every candidate; the weak kinds are looked for only where there is no strong one."""
    found = [*declared(view), *after_colons(view), *called_right(view), *mentioned(view), *lines(view), *verdicts(view)]
    found.extend(_corrections(view, found))
    if not found:
        found.extend(last_sentence(view))
    return tuple(sorted(found, key=lambda c: (c.start, c.strength)))


def _corrections(view: View, found: list[Candidate]) -> Iterator[Candidate]:
    """Options named right after a word of correction, and whatever is said after a sentence of correction."""
    low = view.low
    for mark in _SMALL_MARK.finditer(low):
        value = value_at(view, mark.end())
        if value and not cues.asked(low, value.end) and _ends_there(low, value.end, value.by):
            yield candidate(view, "correction", _CORRECTED, mark.start(), value)
    if "chang" in low:
        for mark in _CHANGED.finditer(low):
            if value := value_at(view, mark.end()):
                yield candidate(view, "correction", _CORRECTED, mark.start(), value)
    if not found:
        found = list(last_sentence(view))
        yield from found
    strong = [mark.start() for mark in _STRONG_MARK.finditer(low)]
    if strong:
        found = [*found, *last_sentence(view)]
        for said in found:
            if said.start >= strong[0] and said.rule not in ("first_line",) and said.letter != AMBIGUOUS:
                yield replace(said, rule="correction", strength=_CORRECTED)
    for said in found:
        if said.rule in ("compared", "is_correct") and said.by == "letter" and _SOFT.search(low, max(0, said.start - 20), said.start):
            yield replace(said, rule="correction", strength=_CORRECTED)


def _ends_there(low: str, end: int, by: str) -> bool:
    """Whether nothing but the end of a clause, or praise, follows the option."""
    return bool(re.compile(r"[\"')\]]*\s?(?:[.!,;:\n\x1e\-–—(]|$|(?:is|fits|seems|would be|because|since|after all|makes|looks)\b)").match(low, end)) and not (
        by == "text" and re.compile(r"[\"')\]]* (?:is|seems|would be|looks|makes)\b(?! (?:the |a )?(?:much )?(?:correct|right|better|best|more likely|more appropriate|it))").match(low, end)
    )


def _decide(view: View, found: tuple[Candidate, ...]) -> Reading:
    """The last of the strongest candidates."""
    if not found:
        return Reading(None, "none")
    top = max(c.strength for c in found)
    group = [c for c in found if c.strength == top]
    won = group[-1]
    letter: str | None = won.letter
    for other in reversed(group[:-1]):
        if other.letter != won.letter and other.end <= won.start and len(view.low[other.end : won.start]) < 40 and top < _CORRECTED:
            if _BETWEEN.match(view.low[other.end : won.start]) and other.rule == won.rule:
                letter = AMBIGUOUS
        break
    marked = tuple(replace(c, status="won" if c is won else "weaker" if c.strength < top else "earlier") for c in found)
    if letter == AMBIGUOUS:
        return Reading(None, "ambiguous", marked)
    return Reading(letter, won.rule, marked)


def explain(output: str, options: Mapping[str, str]) -> str:
    """The candidates of an output and why one won, as readable lines."""
    reading = read(output, options)
    said = f"read as {reading.letter}, by {reading.read_by}" if reading.letter else f"no answer: {reading.read_by}"
    rows = [f"  {c.status:8} {c.strength:3} {c.rule:12} {c.letter} at {c.start}: {' '.join(c.span.split())!r}" for c in reading.candidates]
    return "\n".join([said, *rows])
