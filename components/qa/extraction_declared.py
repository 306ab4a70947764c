"""Declared answers: every place where an output says what its answer is, and which option it names there.

A declaration is a cue ("the answer is", "\\boxed{", "is correct", "I choose", ...) and a value beside it: a letter of
the item, or one option's whole text. Cues are found in lower-cased text, letters read in the text as written, because
"A" is an answer where "a" is an article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from components.qa.extraction_text import Options

AMBIGUOUS = "?"  # two options at once: a declaration, but of no answer

_BE = r"(?:is|was|would be|should be|must be|will be|has to be|remains|becomes)"
_TO = r"(?: (?:to|for|of|in|here|choice|option|letter|then|therefore)\b[^.:\n?!]{0,80}?)?"
_CORRECTION = r"\b[,:;.!\-–— ]{0,4}(?:no, |actually,? )?(?:it|that|this)(?:'s| is| should be| must be| has to be)\b"
# Each cue with the word it starts with: a plain search for that word decides whether the expression is tried at all.
_FORWARD = tuple(
    (word, re.compile(re.escape(word) + rest))
    for word, rest in (
        (
            "answer",
            rf"\b(?:[\"'])?(?:{_TO},? ?\b{_BE}\b|{_TO} ?[:=]| ?(?:-{{1,2}}>?|–|—|→|⇒)| ?(?=\([a-z]\))| ?\n)",
        ),
        ("boxed", r" ?\{"),
        ("<answer>", ""),
        *((word, rf"(?: here)? ?(?:{_BE}\b|:)") for word in ("option", "choice", "letter")),
        ("correct ", rf"(?:one|response|statement|diagnosis|treatment) ?(?:{_BE}\b|:)"),
        *((word, r"\b") for word in ("choose", "chose", "pick", "select", "opt for")),
        ("go", r"(?:ing)? with\b"),
        ("settl", r"(?:e|ing) on\b"),
        *(
            (word, _CORRECTION)
            for word in ("actually", "instead", "rather", "correction", "wait", "sorry", "i mean", "no")
        ),
        ("i mean", ""),
        ("correction:", ""),
        ("scratch that", r"[,;:.]"),
        ("make that", ""),
        ("chang", r"(?:e|ed|ing) (?:my|the) (?:answer|choice|mind) (?:\w+ ){0,2}?to\b"),
    )
)
# These cues are verbs: somebody who answers must be their subject.
_VERBS = re.compile(r"(?:choose|chose|pick|select|opt for|go(?:ing)? with|settl(?:e|ing) on)\b")
_SUBJECT = re.compile(
    r"(?:(?:\bi|\bwe)(?: would| will| shall| must| have to|'ll|'d|'m)?(?: therefore| thus| then| have to| finally)?"
    r"|\blet'?s|\blet us|(?:^|[\n.!;:,]|\bso|\btherefore) ?)[ ]?$"
)
_OPTION_CUES = re.compile(r"option|choice|letter")
_OPTION_SUBJECT = re.compile(
    r"\b(?:correct|best|right|final|my|appropriate|likely|suitable|accurate|chosen|selected)\s$|(?:^|\n|\. )(?:the )?$"
)
_BACKWARD = re.compile(
    r" is (?:thus |therefore |clearly |definitely |most likely |likely |probably |indeed |hence |actually )?"
    r"(?:the )?(?:single |only |most )?(?:(?:correct|right)\b(?! (?:if|only|when|side|heart|atri|ventric|lung|arm|leg))"
    r"|(?:best|likely|appropriate|suitable|accurate) (?:answer|option|choice)\b)"
)

_OPENERS = re.compile(r"[\s\"'(\[{<_:=>#,–—-]*")
_FILLER = re.compile(
    r"(?:the|an?|option|choice|letter|answer|most|likely|probably|clearly|definitely|therefore|thus|then|still|also"
    r"|actually|indeed|simply|obviously|in fact|i think|i believe|i would say|number|correct|final|best|right|only"
    r"|indicated by|given by|either|both|as follows|that|is|rather|in my opinion)\b[\s\"'(\[{<_:,–—-]*"
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
_CLAUSE_START = re.compile(r"[.,;:!?\n()]|\bbut\b|\bhowever\b|\bso\b|\btherefore\b")
_NEGATION = re.compile(
    r"(?:\b(?:not|never|no|nor|neither|if|whether|unless|suppose|supposing|assuming|assume|incorrect|wrong|cannot|doubt"
    r"|unlikely|false|had|were|previous|except|than)\b|n't\b)"
)
_WHO = re.compile(
    r"(?:^|[\n.,;:!?(\"']|\b(?:that|so|therefore|thus|hence|think|believe|only|say|conclude|option|choice|answer"
    r"|letter|and|but|since|because|the|an?|clearly|then|statement|response))[\s\"'(\[{]*$"
)
_LABEL = re.compile(r"(?:^|[^\w])([A-Za-z])\s?[.):\-–—(]+\s?[\"'(]*$")


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
    for word, pattern in _FORWARD:
        for cue in pattern.finditer(low) if word in low else ():
            if _counts(low, cue.start(), cue.group()) and (letter := _value(view, cue.end())):
                yield cue.end(), letter
    for cue in _BACKWARD.finditer(low):
        if not _asked(low, cue.end()) and (letter := _value_before(view, cue.start())):
            yield cue.start(), letter


def _counts(low: str, start: int, cue: str) -> bool:
    """Whether a cue at `start` is said of an answer and is not denied, supposed or asked about in its clause."""
    if start and (low[start - 1].isalpha() or (low[start - 1] == "\\" and not cue.startswith("boxed"))):
        return False
    before = low[max(0, start - 80) : start]
    if _VERBS.match(cue) and not _SUBJECT.search(before):
        return False
    if _OPTION_CUES.match(cue) and not _OPTION_SUBJECT.search(before):
        return False
    clause = _CLAUSE_START.split(before)[-1]
    return not _NEGATION.search(clause)


def _asked(low: str, pos: int) -> bool:
    """Whether the sentence that goes on at `pos` ends with a question mark."""
    end = re.compile(r"[.?!\n]|$").search(low, pos)
    return end is not None and end.group() == "?"


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
        label = re.compile(r"[\"']?\s?[(\[](?:option |choice |answer )?([a-z])[)\]]").match(low, end)
        if label and label.group(1).upper() in view.options.letters:
            return label.group(1).upper()
        return AMBIGUOUS if _second(view, end, letter) else letter
    return None


def _letter_at(view: View, pos: int) -> str | None:
    """The letter that stands alone at `pos`; not an article, an initial ("E. coli") or the start of a word."""
    written = view.text[pos]
    letter = written.upper()
    if letter not in view.options.letters:
        return None
    end = pos + 1
    if _second(view, end, letter):
        return AMBIGUOUS
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


def _initial(text: str, end: int) -> bool:
    """Whether the full stop at `end` belongs to an abbreviated name: `. coli`, `.Coli`."""
    follow = re.compile(r"\. ?([a-z]{3,})").match(text, end)
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
    line_start = view.low.rfind("\n", 0, pos) + 1
    before = view.text[line_start:pos].rstrip(" \"')]}.,")
    low = view.low[line_start : line_start + len(before)]
    if not before:
        return None
    letter, subject = before[-1].upper(), low[:-1]
    for text, owner in view.options.texts:
        if low.endswith(text) and not low[: -len(text)][-1:].isalnum():
            label = _LABEL.search(before[: -len(text)])
            letter = label.group(1).upper() if label and label.group(1).upper() in view.options.letters else owner
            subject = low[: -len(text)] if not label else low[: label.start(1)]
            break
    else:
        if letter not in view.options.letters or not before[-1].isupper():
            return None
    joined = re.compile(r"\b([a-z])[\"')\]]* ?(?:,|and|or|&|/)(?: option)? ?[\"'(]*$").search(subject)
    if joined and joined.group(1).upper() in view.options.letters:
        return AMBIGUOUS
    clause = _CLAUSE_START.split(subject)[-1]
    if _NEGATION.search(clause) or not _WHO.search(subject):
        return None
    return letter
