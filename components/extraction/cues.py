"""Cues: the words by which an output says "here comes my answer", and when they do not count.

All expressions run on lower-cased text. A cue is denied, supposed or asked about by the words before it in its clause.
"""

from __future__ import annotations

import re

_BE = r"(?:is|was|would be|should be|must be|will be|has to be|remains|becomes)"
_TO = r"(?: (?:to|for|of|in|here|choice|option|letter|then|therefore)\b[^.:\n?!]{0,80}?|, [^.,:\n?!]{1,30}(?=,))?"
_CORRECTION = r"\b[,:;.!\-–— ]{0,4}(?:no, |actually,? )?(?:it|that|this)(?:'s| is| should be| must be| has to be)\b"
# Each cue with the word it starts with: a plain search for that word decides whether the expression is tried at all.
FORWARD = tuple(
    (word, re.compile(re.escape(word) + rest))
    for word, rest in (
        (
            "answer",
            rf"\b(?:[\"'])?(?:{_TO},? ?\b{_BE}\b|{_TO} ?[:=]| ?(?:-{{1,2}}>?|–|—|→|⇒)| ?(?=\([a-z]\))| ?\n)",
        ),
        ("ans", r"(?:\.? ?[:=]|\.(?= ?\(?[a-z]\b))"),
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
        *((word, r"\b") for word in ("it should be", "it must be", "it has to be")),
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
BACKWARD = re.compile(
    r" is (?:thus |therefore |clearly |definitely |most likely |likely |probably |indeed |hence |actually )?"
    r"(?:the )?(?:single |only |most )?(?:(?:correct|right)\b(?! (?:side|heart|atri|ventric|lung|arm|leg))"
    r"|(?:best|likely|appropriate|suitable|accurate) (?:answer|option|choice)\b)(?!(?: \w+)? (?:if|only|when|unless)\b)"
)

CLAUSE_START = re.compile(
    r"[.,;:!?\n()]|\b(?:but|however|so|therefore|thus|hence|which|meaning|and(?= (?:the|my|this|that|i|we)\b))\b"
)
# A word that undoes the cue it governs: at most eight words before it, in the same clause.
NEGATION = re.compile(
    r"(?:\b(?:not|never|no(?! doubt| question)|nor|neither|if|whether|unless|suppose|supposing|assuming|assume|wrong"
    r"|incorrect|cannot|(?<!no )(?<!without )(?<!without a )doubt|unlikely|false|previous)\b|n't\b)"
    r"(?:\W+\w+){0,8}\W*$"
)
_UNREAL = re.compile(r"\b(?:if|had|were|unless|otherwise|without)\b")
_NEAR = 300  # characters: sentences are looked at no further, so that time grows with length only
_SENTENCE_END = re.compile(r"[.?!\n]|$")


def counts(low: str, start: int, cue: str) -> bool:
    """Whether a cue at `start` is said of an answer and is not denied, supposed or asked about in its clause."""
    if start and (low[start - 1].isalpha() or (low[start - 1] == "\\" and not cue.startswith("boxed"))):
        return False
    before = low[max(0, start - 80) : start]
    if _VERBS.match(cue) and not _SUBJECT.search(before):
        return False
    if _OPTION_CUES.match(cue) and not _OPTION_SUBJECT.search(before):
        return False
    if NEGATION.search(CLAUSE_START.split(before)[-1]):
        return False
    return "would" not in cue or not _UNREAL.search(_sentence(low, start))


def _sentence(low: str, pos: int) -> str:
    """The sentence around `pos`."""
    begin = max(low.rfind(mark, max(0, pos - _NEAR), pos) for mark in (". ", "? ", "! ", "\n")) + 1
    end = _SENTENCE_END.search(low, pos, pos + _NEAR)
    return low[max(begin, pos - _NEAR) : end.start() if end else pos + _NEAR]


def asked(low: str, pos: int) -> bool:
    """Whether the sentence that goes on at `pos` ends with a question mark."""
    end = _SENTENCE_END.search(low, pos, pos + _NEAR)
    return end is not None and end.group() == "?"
