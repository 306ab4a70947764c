"""What undoes a cue: denials, suppositions and questions in its clause."""

from __future__ import annotations

import re

from components.extraction import tables

CLAUSE_START = re.compile(
    r"[.,;:!?\n()]|\b(?:but|however|so|therefore|thus|hence|which|meaning|and(?= (?:the|my|this|that|i|we)\b))\b"
)
# A denial or a supposition that governs the cue itself, not whatever stands before it.
_SUPPOSED = re.compile(
    r"\b(?:if|whether|unless|suppose|supposing|assuming|assume|imagine|were|what|which|when|had|could|until"
    r"|before)\b(?:\W+\w+){0,10}\W*$"
)
_DENIED = re.compile(
    r"(?:(?:\b(?:not|never|no|nor|neither|hardly|cannot)|n't) (?:\w+ ){0,4}?(?:think|believe|say|agree|conclude"
    r"|mean|true|case"
    r"|correct|right|evidence|reason|way|clear|sure|certain|know|convinced|imply|suggest|proof|indication"
    r"|guarantee|support)\w* ?(?:\w+ ){0,4}"
    r"|(?:\b(?:not|never|nor|neither)|n't) (?:be )?(?:the |a |my |an |this |to )?(?:\w+ ){0,1}"
    r"|\b(?:incorrect|wrong|false|previous|earlier|initial|first|doubt(?:ful)?|unclear|unlikely|unsure|tempting"
    r"|common|popular"
    r"|deny|denies|avoid|wrongly|mistakenly|another|second) (?:that )?(?:the |my |an? |to )?(?:\w+ ){0,1})$"
)
_AFFIRMED = re.compile(r"\b(?:no|without(?: a)?) (?:doubt|question)\b")
_UNREAL = re.compile(r"\b(?:if|had|were|unless|otherwise)\b")
_IF_SENTENCE = re.compile(
    r"(?:^|[.?!\n]\s*(?:and |but |however, |conversely, |alternatively, )?)(?:if|had|suppose|supposing)\b(?! (?:i"
    r"|we) (?:had|have|must|were|need|am|are)\b)[^.?!\n]{0,180}$"
)
_END = re.compile(r"[?!\n]|\.(?=\s|$)")
_NEAR = 300
END_OF_CLAUSE = re.compile(r"[.;?!\n](?!\d)")
DENYING = re.compile(rf"\b(?:{tables.DENIALS}|{tables.CONTRASTS})\b|n't\b")


def denied(low: str, start: int, cue: str) -> bool:
    """Whether a cue at `start` is denied or supposed in its clause."""
    before = low[max(0, start - 200) : start]
    if ("if " in before or "had " in before or "supp" in before) and _IF_SENTENCE.search(before):
        return True
    clause = CLAUSE_START.split(before[-90:])[-1]
    if clause.strip():
        if _SUPPOSED.search(clause):
            return True
        if _DENIED.search(clause) and not _AFFIRMED.search(clause):
            return True
    return "would" in cue and bool(_UNREAL.search(sentence_around(low, start)))


def sentence_around(low: str, pos: int) -> str:
    """The sentence around `pos`."""
    begin = max(low.rfind(mark, max(0, pos - _NEAR), pos) for mark in (". ", "? ", "! ", "\n")) + 1
    end = _END.search(low, pos, pos + _NEAR)
    return low[max(begin, pos - _NEAR) : end.start() if end else pos + _NEAR]


def asked(low: str, pos: int) -> bool:
    """Whether the sentence that goes on at `pos` ends with a question mark."""
    end = _END.search(low, pos, pos + _NEAR)
    return end is not None and end.group() == "?"
