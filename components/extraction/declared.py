"""Declared answers: every place where an output says what its answer is, and which option it names there.

A declaration is a cue ("the answer is", "\\boxed{", "is correct", "I choose", ...) and a value beside it: a letter of
the item, or one option's whole text. Cues are found in lower-cased text, letters read in the text as written, because
"A" is an answer where "a" is an article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from components.extraction.cues import BACKWARD, CLAUSE_START, FORWARD, NEGATION, asked, counts
from components.extraction.text import Options, label

AMBIGUOUS = "?"  # two options at once: a declaration, but of no answer

_REACH = 1000  # characters before "is correct" in which its subject is looked for
_OPENERS = re.compile(r"[\s\"'(\[{<_:=>#,–—-]*")
_FILLER = re.compile(
    r"(?:the|an?|option|choice|letter|answer|most|likely|probably|clearly|definitely|therefore|thus|then|still|also"
    r"|actually|indeed|simply|obviously|in fact|i think|i believe|i would say|number|correct|final|best|right|only"
    r"|indicated by|given by|either|both|as follows|that|item|is|rather|in my opinion)\b[\s\"'(\[{<_:,–—-]*"
)
_JOIN = re.compile(
    r"[\"')\]}]*\s?(?:,? ?(?:and|or|and/or|as well as|&|\+|/|,)\s?)(?:also |option |either |both )?[\"'(\[{]*"
)
_CONNECTIVE = re.compile(
    r"\s(?:because|since|as|due|for|based|given|which|rather|but|not|instead|here|therefore|according|so|and"
    r"|in this case|with a confidence)\b"
)
_TEXT_CONNECTIVE = re.compile(r"\s(?:because|since|as|due to|based on|given|which|rather than|but|not|so)\b")
_STOP = re.compile(r"\s?(?:$|[\n)\]}\"'>;!<(,–—]|:(?!\d)|\.(?!\w)|,(?!\d)|\s-\s|- )")
_NOT_BUT = re.compile(r"not\b[^.\n?!]{1,80}?(?:,? but(?: rather)?|,? rather|, it is|, it's|; it is|; it's)(?= )")
_NEGATED_VALUE = re.compile(r"(?:not|neither|never|none of these|anything but|unlikely|un(?:clear|known)|no option)\b")
_WHO = re.compile(
    r"(?:^|[\n.,;:!?(\"']|\b(?:that|so|therefore|thus|hence|think|believe|only|say|conclude|option|choice|answer"
    r"|letter|and|but|since|because|the|an?|clearly|then|statement|response))[\s\"'(\[{]*$"
)
_JOINED = re.compile(r"\b([a-z])[\"')\]]* ?(?:,|and|or|&|/)(?: option)? ?[\"'(]*$")
_LOWER_WORD = re.compile(r"\. ?([a-z]{3,})")
_BRACKETED = re.compile(r"[\"']?\s?[(\[](?:option |choice |answer )?([a-z])[)\]]")
_LABELLED = re.compile(r"(?:^|[^\w])([A-Za-z])\s?[.):\-–—(]+\s?[\"'(]*$")


@dataclass(frozen=True)
class View:
    """An output to read declarations from: `text` as written, `low` the same in lower case."""

    text: str
    low: str
    options: Options


def declared(view: View) -> str | None:
    """The letter of the last declared answer, AMBIGUOUS if that names two options, None if nothing is declared."""
    found = max(_declarations(view), default=None)
    return found[1] if found else None


def _declarations(view: View) -> Iterator[tuple[int, str]]:
    """(position, letter or AMBIGUOUS) of every declaration."""
    low = view.low
    for word, pattern in FORWARD:
        for cue in pattern.finditer(low) if word in low else ():
            if counts(low, cue.start(), cue.group()) and (letter := _value(view, cue.end())):
                yield cue.end(), letter
    for cue in BACKWARD.finditer(low):
        if not asked(low, cue.end()) and (letter := _value_before(view, cue.start())):
            yield cue.start(), letter


def _value(view: View, pos: int) -> str | None:
    """The option named at `pos`, after any brackets, quotes and small words."""
    low = view.low
    for _ in range(6):
        pos = _OPENERS.match(low, pos).end()  # type: ignore[union-attr]  # matches the empty string too
        if pos >= len(low):
            return None
        if named := _text_at(view, pos):
            return named
        if _NEGATED_VALUE.match(low, pos):
            turn = _NOT_BUT.match(low, pos)
            return _value(view, turn.end()) if turn else None
        if named := _letter_at(view, pos):
            return named
        filler = _FILLER.match(low, pos)
        if not filler:
            return None
        pos = filler.end()
    return None


def _text_at(view: View, pos: int) -> str | None:
    """The option whose whole text stands at `pos` (the longest), or the letter in brackets right after it."""
    low = view.low
    for text, letter in view.options.texts:
        if not low.startswith(text, pos):
            continue
        end = pos + len(text)
        if low[end : end + 1].isalnum() or not (_STOP.match(low, end) or _TEXT_CONNECTIVE.match(low, end)):
            # `aspirin` before `and heparin` is a part of another answer, unless that is a second option
            return AMBIGUOUS if _second(view, end, letter) else None
        bracket = _BRACKETED.match(low, end)
        if bracket and bracket.group(1).upper() in view.options.letters:
            return bracket.group(1).upper()
        return AMBIGUOUS if _second(view, end, letter) else letter
    return None


def _letter_at(view: View, pos: int) -> str | None:
    """The letter that stands alone at `pos`; not an article, an initial ("E. coli") or the start of a word."""
    written = view.text[pos]
    letter = written.upper()
    if letter not in view.options.letters:
        return None
    end = pos + 1
    if written in "ai" and end == len(view.text) and view.text[pos - 1] not in "([{\"'":
        return None  # a sentence cut off after its article
    if end == len(view.text) and view.text[pos - 1 : pos] == "<":
        return None  # an output cut off inside a tag
    if _second(view, end, letter):
        return AMBIGUOUS
    if _begins_list(view, pos, letter):
        return None
    own = view.options.text_of[letter]
    first_word = own.split(" ", 1)[0]
    rest = view.low[end : end + 200].lstrip(" .):,-\"'\n]}(")
    if first_word and rest.startswith(first_word) and written.isupper():
        return letter
    stop = _STOP.match(view.low, end)
    if stop and not _initial(view.text, end):
        return letter
    if written.isupper() and letter != "I" and not stop and _CONNECTIVE.match(view.low, end):
        return letter
    return None


def _begins_list(view: View, pos: int, letter: str) -> bool:
    """Whether the letter only labels the first of the options written below one another."""
    line_start = view.low.rfind("\n", 0, pos) + 1
    line_end = view.low.find("\n", pos)
    if line_end < 0 or view.low[line_start:pos].strip(" ([-#>"):
        return False
    place = view.options.letters.index(letter) + 1
    following = view.low[line_end:].lstrip()
    return place < len(view.options.letters) and label(following) == view.options.letters[place]


def _initial(text: str, end: int) -> bool:
    """Whether the full stop at `end` belongs to an abbreviated name: `. coli`, `.Coli`."""
    follow = _LOWER_WORD.match(text, end)
    return bool(follow) and not _CONNECTIVE.match(" " + text[follow.start(1) :])  # type: ignore[union-attr]


def _second(view: View, end: int, first: str) -> bool:
    """Whether another option follows, joined by `and`, `or`, a comma or a slash."""
    join = _JOIN.match(view.low, end)
    if not join:
        return False
    pos = join.end()
    for text, letter in view.options.texts:
        if view.low.startswith(text, pos) and letter != first and not view.low[pos + len(text) :][:1].isalnum():
            return True
    if pos >= len(view.text) or view.text[pos] not in view.options.letters or view.text[pos] == first:
        return False
    return bool(_STOP.match(view.low, pos + 1) or _JOIN.match(view.low, pos + 1))


def _value_before(view: View, pos: int) -> str | None:
    """The option that is the subject of "is correct" at `pos`: a letter, a text, or a letter and its text."""
    line_start = max(view.low.rfind("\n", 0, pos) + 1, pos - _REACH)
    before = view.text[line_start:pos].rstrip(" \"')]}.,")
    low = view.low[line_start : line_start + len(before)]
    if not before:
        return None
    letter, subject = before[-1].upper(), low[:-1]
    for text, owner in view.options.texts:
        if low.endswith(text) and not low[: -len(text)][-1:].isalnum():
            mark = _LABELLED.search(before[: -len(text)])
            letter = mark.group(1).upper() if mark and mark.group(1).upper() in view.options.letters else owner
            subject = low[: -len(text)] if not mark else low[: mark.start(1)]
            break
    else:
        if letter not in view.options.letters or not before[-1].isupper():
            return None
    joined = _JOINED.search(subject)
    if joined and joined.group(1).upper() in view.options.letters:
        return AMBIGUOUS
    clause = CLAUSE_START.split(subject)[-1]
    if NEGATION.search(clause) or not _WHO.search(subject):
        return None
    return letter
