""" "The answer is B", "Answer: B", "the correct option is B", and nouns that announce an answer."""

from __future__ import annotations

from components.extraction import tables
from components.extraction.cues.cue import ARROW, DECLARED, WEAK, Cue, cue

_TO = (
    r"(?: (?:to|for|of|in|here|choice|option|letter|then|therefore|key|based|given|from|would|according|among"
    r"|that|which)\b[^.:\n?!]{0,90}?"
    r"|,[^.:\n?!]{1,60}?(?:,|(?=:))| \([^()\n]{1,40}\))?"
)
_START = r"(?:^|[\n.;!?\x1e]|- |\d\. )[ \"'(\[#>•\-|_👉✅]*"
_ADJECTIVES = rf"(?:(?:{tables.ADJECTIVES}) ){{0,4}}"
_OPTION_BEFORE = (
    r"(?:\b(?:correct|best|right|final|my|appropriate|likely|suitable|accurate|chosen|selected"
    r"|single|better|preferred) (?:answer )?|(?:^|\n|\. )(?:the )?)"
)
_GOES = rf"(?: here| letter)?(?: (?:to|for|of|in)\b[^.:\n?!]{{0,90}}?)?,? {tables.BE}\b\s?:?"
_ENDED = r"(?=[(\[]?[a-z][)\]]?(?:$|[\n.:;,!]))"

ANSWER_IS: tuple[Cue, ...] = (
    *(
        cue(
            word,
            rf"(?: (?:answer|choice|option|letter|decision|is))?[\"')]?\s?(?::+|{ARROW}(?!\d))",
            "answer_is",
            DECLARED,
            _START + _ADJECTIVES,
            sure=True,
        )
        for word in tables.NOUNS
    ),
    *(cue(word, r"\s?:+", "weak_noun", WEAK + 5, _START + _ADJECTIVES, sure=True) for word in tables.WEAK_NOUNS),
    cue("letter ", r"(?=[a-z]\b)", "answer_is", DECLARED, r"\banswer: ?", sure=True),
    cue(
        "answer",
        rf"s?(?: choice| option| letter| key)?[\"']?(?:{_TO}\s?(?::+|{ARROW})| ?(?=[(\[][a-z][)\]]))",
        "answer_is",
        sure=True,
    ),
    # A heading; "A - correct answer" is none.
    cue(
        "answer",
        r"s?(?: choice| option| letter| key)?[\"']? ?\n",
        "answer_is",
        DECLARED,
        r"(?:(?:^|\n)(?![\s\-•#>(\[]*(?:option |choice )?[a-z][)\].:]? ?[\-–—:.)\]] ?)[^\n]{0,99}|[^\n]{100})",
        sure=True,
    ),
    cue("final answer", rf" {_ENDED}", "answer_is", DECLARED, r"[:,;–—-] ?(?:my |the |so |hence |thus )*", sure=True),
    cue("answer", rf"[\"']?{_TO},?\s?\b{tables.BE}(?!\w)\s?:?", "answer_is"),
    cue("answer", rf"(?: choice)? {_ENDED}", "answer_is", DECLARED, _START + _ADJECTIVES, sure=True),
    cue("ans", rf"(?:\.? ?(?:[:=]|{ARROW})|\.(?= ?\(?[a-z]\b)| ?(?=[(\[][a-z][)\]]))", "answer_is", sure=True),
    cue("ans", r" is\b", "answer_is", DECLARED, _START),
    cue("key", rf"(?: here)? {tables.BE}\b\s?:?", "answer_is", DECLARED, r"\bthe (?:correct |right |answer )?"),
    cue("ans", rf" {_ENDED}", "answer_is", DECLARED, _START, sure=True),
    cue(
        "choice",
        rf" {_ENDED}",
        "answer_is",
        DECLARED,
        _START + r"(?:final|best|correct|my|answer|selected) ",
        sure=True,
    ),
    *(
        cue(word, _GOES, "answer_is", DECLARED, _OPTION_BEFORE)
        for word in ("option", "choice", "letter", "selection", "decision", "response")
    ),
    *(
        cue(word, _GOES, "answer_is", DECLARED, r"\b(?:correct|right|true) ")
        for word in ("statement", "one", "diagnosis", "treatment", "match", "combination", "sequence", "order", "pair")
    ),
    cue("conclusion is", r"\b", "answer_is"),
)
