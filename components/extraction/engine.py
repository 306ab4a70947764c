"""Which option an output chose: candidates, one ordering, one decision.

1. Thoughts are dropped (thoughts.py); one that never ends means no answer.
2. Structured answers are decoded (json_fields.py), and the text is cleaned of markup (text.py).
3. Every place that names an answer is a candidate with a kind, a strength and a position.
4. The strongest kind wins, and within a kind the last one. A correction ("Wait, B is better") outranks what stands
   before it. Two options at once, or a letter with another option's text, are a candidate for no answer.
5. What follows an invented next question or turn is not read once there is an answer.

Change EXTRACTION_VERSION (reading.py) with any change of what is extracted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import attrgetter

from components.extraction import cues, governing, tables
from components.extraction.candidates import after_question, called_right, candidate, declared, mentioned
from components.extraction.cues import before as before_cues
from components.extraction.index import present as present_cues
from components.extraction.kinds.grids import grids
from components.extraction.kinds.json_fields import SHARES, Field, fields
from components.extraction.kinds.lines import lines
from components.extraction.kinds.sentence import bracketed, last_sentence
from components.extraction.kinds.verdicts import verdicts
from components.extraction.normal import Options, prepare
from components.extraction.places import AMBIGUOUS, UNKNOWN, View, text_at
from components.extraction.reading import Candidate, Reading
from components.extraction.text import SPECIAL_MARK, clean, lower, mark_special
from components.extraction.thoughts import without_thought
from components.extraction.values import value_at

HEAD, TAIL = 20_000, 60_000  # of a longer answer only its beginning and its end are read
_RUN_ON = re.compile(rf"\n[^\S\n]*(?:{'|'.join(tables.RUN_ONS)})")
_BETWEEN = re.compile(r"[\\\s\"'()\[\]{}$,;/&.+<>\x1e]*(?:and|or)?[\\\s\"'()\[\]{}$,<>]*(?:boxed\s*\{?)?$")
_OPTION_LIST = re.compile(tables.OPTION_LIST)
_MAX_RUN_ONS = 4


def read(output: str, options: Mapping[str, str], *, everything: bool = False) -> Reading:
    """What `output` chose and why. `options` is {letter: text}, letters A to Z.

    Kinds too weak to win are not looked for, unless `everything` is asked for; the answer is the same.
    """
    spoken = without_thought(html.unescape(output) if "&lt;" in output else output)
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
    view = _view(text, known)
    if found and (structured := _structured(found, spoken, view)):
        return _decide(view, (*structured, *(c for c in _candidates(view, everything) if c.rule == "boxed")))
    for end in _run_ons(view):
        part = _view(text[:end], known)
        if part.low.strip(" \n\x1e"):
            reading = _decide(part, _candidates(part, everything))
            if reading.candidates:
                return reading
    return _decide(view, _candidates(view, everything))


def _view(text: str, options: Options) -> View:
    return View(text, lower(text), options)


def _has_any(low: str, words: tuple[str, ...]) -> bool:
    for word in words:  # a loop: a generator would take twice as long  # noqa: SIM110
        if word in low:
            return True
    return False


def _run_ons(view: View) -> list[int]:
    """Where an invented next question, its options or a next turn, or a special token, ends what was said."""
    low, ends = view.low, []
    if "\n" in low:
        ends = [mark.start() for mark in islice(_RUN_ON.finditer(low), _MAX_RUN_ONS)]
        if "answer" in low and (listed := _OPTION_LIST.search(low)):
            first = text_at(view, listed.end())
            if first is None or first[0].letter != "A":
                ends.append(listed.start())
    at = low.find(SPECIAL_MARK)
    while at >= 0 and len(ends) < 2 * _MAX_RUN_ONS:
        ends.append(at)
        at = low.find(SPECIAL_MARK, at + 1)
    return sorted(ends)


def _without(text: str, found: list[Field]) -> str:
    """The text outside the decoded objects."""
    kept, at = [], 0
    for part in found:
        kept.append(text[at : part.start])
        at = max(at, part.end)
    return "\n".join([*kept, text[at:]]) if found else text


def _structured(found: list[Field], text: str, view: View) -> list[Candidate]:
    """What the answer fields name, up to an invented next question; two side by side that differ are ambiguous."""
    said: list[Candidate] = []
    for part in found:
        letter = _field_letter(part, view.options)
        if letter is None:
            continue
        if said:
            between = text[said[-1].end : part.start]
            if SPECIAL_MARK in between.strip() or _RUN_ON.search("\n" + between.lower()):
                break
            if letter != said[-1].letter and not _WORDS.search(between.replace("json", "")):
                letter = AMBIGUOUS
        said.append(
            Candidate("json", cues.DECLARED, part.start, part.end, letter, "field", " | ".join(part.values)[:200])
        )
    return said


_WORDS = re.compile(r"[^\W\d_]{2}")


def _field_letter(part: Field, options: Options) -> str | None:
    """The one option that the strings of a field name."""
    letters = set()
    if part.rank == SHARES and any(text[0][:1].isdigit() for text in options.own.values() if text):
        return None  # the options are numbers: the map may only repeat them
    for value in part.values:
        inner = _view(clean(value).strip(), options)
        named = value_at(inner, 0, sure=True)
        # A text at the start of a sentence is the answer only if the sentence says so.
        if named and named.letter != AMBIGUOUS and not (named.by == "text" and len(inner.text) > 3 * named.end + 40):
            letters.add(named.letter)
            continue
        reading = _decide(inner, _candidates(inner))
        if reading.letter or named or reading.read_by == "ambiguous":
            letters.add(reading.letter or AMBIGUOUS)
    if not letters:
        return None
    return letters.pop() if len(letters) == 1 else AMBIGUOUS


def _candidates(view: View, everything: bool = False) -> tuple[Candidate, ...]:
    """Every candidate that can win (or all): from the strongest kinds on, until one is found."""
    after, before, small, strong = present_cues(view.low)
    marks = [(cue, mark) for cue in small for mark in _marks(cue, view.low)]
    first = min((mark.start() for cue in strong for mark in _marks(cue, view.low)), default=-1) if strong else -1
    corrected = bool(
        marks
        or first >= 0
        or (before and _has_any(view.low, tables.SOFT_CORRECTIONS) and before_cues.SOFT.search(view.low))
    )
    found = [*declared(view, after, not (everything or corrected)), *after_question(view), *grids(view)]
    if everything or corrected or not any(c.strength == cues.DECLARED for c in found):
        found += mentioned(view)
        if before:
            found += called_right(view, before)
        found += lines(view, everything or corrected)
        if everything or corrected or not any(c.strength > cues.SAID for c in found):
            found += verdicts(view)
    if corrected:
        found += list(_corrections(view, found, marks, first))
    if everything or not found:
        found += last_sentence(view)
    if everything or not found:
        found += bracketed(view)
    if len(found) > 1:
        found = _outside_texts(found)
        found.sort(key=_POSITION)
    return tuple(found)


def _outside_texts(found: list[Candidate]) -> list[Candidate]:
    """The candidates without those that an option's own words make: "C. No, B is correct" where that is C's text."""
    texts = [(c.start, c.end, c.letter) for c in found if c.by == "both"]
    if not texts:
        return found
    return [
        c
        for c in found
        if not any(start < c.start and c.end <= end and c.letter != letter for start, end, letter in texts)
    ]


_POSITION = attrgetter("start", "strength", "end")


def _corrections(
    view: View, found: list[Candidate], marks: list[tuple[cues.Cue, re.Match[str]]], first: int
) -> Iterator[Candidate]:
    """Options named right after a word of correction, and whatever is said after a sentence of correction."""
    low = view.low
    for cue, mark in marks:
        value = value_at(view, mark.end())
        if value is None or "\n" in low[mark.end() : value.start] or governing.asked(low, value.end):
            continue
        if cue.word in tables.DENYING_CORRECTIONS and value.by == "letter" and _judges(low, mark, value.end):
            continue  # "A: …, no. B: …, no."
        if cue.word in tables.CHANGES and _UNCHANGED.search(low, max(0, mark.start() - 60), mark.start()):
            continue
        vague = value.by == "text" and cue.word in ("instead", "rather", "actually")
        if _ends_there(low, value.end, value.by) and not (vague and not _STOP.match(low, value.end)):
            yield candidate(view, "correction", cues.CORRECTED, mark.start(), value)
    if first >= 0:
        for said in (*found, *last_sentence(view)):
            if said.start >= first and said.rule != "first_line" and said.letter != AMBIGUOUS:
                yield said._replace(rule="correction", strength=cues.CORRECTED)
    for said in found:
        soft = said.rule in ("compared", "is_correct", "said_correct") and said.by == "letter"
        if soft and before_cues.SOFT_BEFORE.search(low, max(0, said.start - 20), said.start):
            yield said._replace(rule="correction", strength=cues.CORRECTED)


# "I would not change to B", "should I change my answer to B"
_UNCHANGED = re.compile(
    r"(?:\b(?:not|never|no|nor|without|wrong|mistake|tempt\w*|if|whether|should i|could|might|would|why"
    r"|rather than|later)\b"
    r"|n't\b)[^.;!?\n]{0,40}$"
)


def _judges(low: str, mark: re.Match[str], end: int) -> bool:
    """Whether a "no" ends what is said of one option, and the next option's label follows."""
    return low[end : end + 1] in (":", ")") and "." in mark.group() and low[: mark.start()].rstrip()[-1:] in (",", ":")


def _marks(cue: cues.Cue, low: str) -> Iterator[re.Match[str]]:
    for mark in cue.pattern.finditer(low):
        if cue.before is None or cue.before.search(low, max(0, mark.start() - 12), mark.start()):
            yield mark


def _ends_there(low: str, end: int, by: str) -> bool:
    """Whether nothing but the end of a clause, or praise, follows the option."""
    if not _CLAUSE_ENDS.match(low, end):
        return False
    return by != "text" or not _GOES_ON.match(low, end)


_STOP = re.compile(r"[\"')\]]*\s?[.!]")
_CLAUSE_ENDS = re.compile(
    r"[\"')\]]*\s?(?:[.!,;:\n\x1e\-–—(]|$|(?:is|fits|seems|would be|because|since|after all|makes|looks)\b)"
)
_GOES_ON = re.compile(
    r"[\"')\]]* (?:is|seems|would be|looks|makes)\b(?! (?:the |a )?(?:much )?(?:correct|right|better|best"
    r"|more likely|more appropriate|it))"
)


def _side_by_side(view: View, first: Candidate, second: Candidate) -> bool:
    """Whether two marks enclose two options with nothing between them: "\\boxed{A} or \\boxed{B}"."""
    if first.letter == second.letter or first.rule != second.rule or second.rule not in tables.ENCLOSING:
        return False
    return first.end <= second.start <= first.end + 40 and bool(_BETWEEN.match(view.low[first.end : second.start]))


def _decide(view: View, found: tuple[Candidate, ...]) -> Reading:
    """The last of the strongest candidates."""
    if not found:
        return Reading(None, "none")
    top = max(c.strength for c in found)
    group = [c for c in found if c.strength == top]
    won = group[-1]
    letter: str | None = won.letter
    if len(group) > 1 and _side_by_side(view, group[-2], won):
        letter = AMBIGUOUS
    marked = tuple(c._replace(status="won" if c is won else "weaker" if c.strength < top else "earlier") for c in found)
    if letter == UNKNOWN:
        return Reading(None, "no_such_option", marked)
    if letter == AMBIGUOUS:
        return Reading(None, "ambiguous", marked)
    return Reading(letter, won.rule, marked)


def explain(output: str, options: Mapping[str, str]) -> str:
    """The candidates of an output and why one won, as readable lines."""
    reading = read(output, options, everything=True)
    said = f"read as {reading.letter}, by {reading.read_by}" if reading.letter else f"no answer: {reading.read_by}"
    rows = [
        f"  {c.status:8} {c.strength:3} {c.rule:12} {c.letter} at {c.start}: {' '.join(c.span.split())!r}"
        for c in reading.candidates
    ]
    return "\n".join([said, *rows])
