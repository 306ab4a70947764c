"""Cues compiled from the tables.

A cue starts with a fixed word, so that a plain search finds it; what must stand before it is looked at only there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from components.extraction import tables

_BE = tables.BE
# Strengths: what was declared, chosen, called right, written first, compared, named under a cue of choice.
DECLARED, CHOSEN, RIGHT, FIRST, SAID, COMPARED, WEAK = 60, 50, 40, 30, 28, 20, 10
CORRECTED = DECLARED + 5
BEFORE = 100  # characters before a cue that are looked at


@dataclass(frozen=True)
class Cue:
    """Words after which (or before which) an option is named; `rule` and `strength` are the candidate's."""

    word: str
    pattern: re.Pattern[str]  # begins with the word
    rule: str
    strength: int
    before: re.Pattern[str] | None = None  # what stands before it
    sure: bool = False  # a colon: what follows is the answer's place
    foreign: bool = False
    checked: bool = True  # does not count when denied or supposed


def cue(word: str, rest: str, rule: str, strength: int = DECLARED, before: str = "", *, sure: bool = False,
         checked: bool = True) -> Cue:  # fmt: skip
    left = re.compile(before + "$") if before else None
    return Cue(word, re.compile(re.escape(word) + rest), rule, strength, left, sure=sure, checked=checked)


_TO = (
    r"(?: (?:to|for|of|in|here|choice|option|letter|then|therefore|key|based|given|from|would|according|among"
    r"|that|which)\b[^.:\n?!]{0,90}?"
    r"|,[^.:\n?!]{1,60}?(?:,|(?=:))| \([^()\n]{1,40}\))?"
)
ARROW = r"(?:-{1,2}>|–|—|-|→|⇒|=>?|\|)"
_START = r"(?:^|[\n.;!?\x1e]|- |\d\. )[ \"'(\[#>•\-|_👉✅]*"
_ADJECTIVES = rf"(?:(?:{tables.ADJECTIVES}) ){{0,4}}"
_SUBJECT = (
    r"(?:\bi|\bwe|\blet'?s|\blet us|\bplease|(?:^|[\n.!;:,])|\bso|\btherefore|\bthus)"
    r"(?:'d|'ll|'m| would| will| shall| must| have to| am| are|'re| need to| should)?"
    r"(?: (?:therefore|thus|then|very|quite|fairly"
    r"|most|have to"
    r"|finally|rather|now|would|also))? ?"
)
_OPTION_BEFORE = (
    r"(?:\b(?:correct|best|right|final|my|appropriate|likely|suitable|accurate|chosen|selected"
    r"|single|better|preferred) (?:answer )?|(?:^|\n|\. )(?:the )?)"
)
_GOES = rf"(?: here| letter)?(?: (?:to|for|of|in)\b[^.:\n?!]{{0,90}}?)?,? {_BE}\b\s?:?"
_ENDED = r"(?=[(\[]?[a-z][)\]]?(?:$|[\n.:;,!]))"
_LETTER = r"(?=[\"'(\[]?[a-z][\"')\]]?(?:$|[\s.:;,!]))"


def _foreign() -> list[Cue]:
    cues = []
    for _, nouns, copulas in tables.LANGUAGES:
        for noun in nouns.split("|"):
            word = re.split(r"[(?\[]", noun)[0]
            word = word[:-1] if noun[len(word) :].startswith("?") else word
            rest = noun[len(word) :]
            cjk = word[0] > "\u2e80"
            gap = r"[^.\n:!?]{0,60}?\s?" if cjk else r"(?: [^.\n:!?]{1,60}?)??\s"
            after = "" if cjk else r"(?![^\W_])"
            cues.append(cue(word, rf"{rest}\s?(?:{copulas})?\s?:+", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest}{gap}(?:{copulas}){after}\s?:?", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest} (?:{tables.FOREIGN_ADJECTIVES})\s?:+", "answer_is", sure=True))
            cues.append(cue(word, rf"{rest}\s?\]:?", "answer_is", DECLARED, r"\[[^\[\]\n]{0,6}", sure=True))
            cues.append(cue(word, rf"{rest}\s?[-–—=]+", "answer_is", sure=True))
    return [replace(entry, foreign=True) for entry in cues]


FOREIGN_DENIAL = re.compile(tables.FOREIGN_DENIALS)
FORWARD: tuple[Cue, ...] = (
    cue("boxed", r"\s*[{(\[]|(?<=boxed) (?=[a-z]\b)", "boxed", sure=True, checked=False),
    cue("[[", r"(?=[\"' ]?[a-z][\"' .)]*[^\n\]]{0,80}\]\])", "tag", sure=True, checked=False),
    cue("<<", r"(?=[\"' ]?[a-z][\"' .)]*[^\n>]{0,80}>>)", "tag", sure=True, checked=False),
    cue("<", rf"\s?{tables.ANSWER_TAGS}(?:\s[^<>]{{0,60}})?>", "tag", sure=True, checked=False),
    cue("[", rf"\s?{tables.ANSWER_TAGS}\s?\](?!\()", "tag", sure=True, checked=False),
    *(
        cue(
            word,
            r"\w{0,20}\s?[\[(]\s?(?:[\w ]{1,20}=\s?)?(?=[\"'(]?[a-z])(?=[^\n]{1,200}[\])])",
            "call",
            sure=True,
            checked=False,
        )
        for word in tables.CALL_NAMES
    ),
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
    cue("answer", rf"[\"']?{_TO},?\s?\b{_BE}(?!\w)\s?:?", "answer_is"),
    cue("answer", rf"(?: choice)? {_ENDED}", "answer_is", DECLARED, _START + _ADJECTIVES, sure=True),
    cue("ans", rf"(?:\.? ?(?:[:=]|{ARROW})|\.(?= ?\(?[a-z]\b)| ?(?=[(\[][a-z][)\]]))", "answer_is", sure=True),
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
    *(
        cue(
            word,
            rf" (?:{tables.INVERTED_NOUN}|answer choice)(?: (?:here|among|of|in|regarding|about|from|concerning"
            rf"|given)\b[^.:\n?!]{{0,90}}?)?,? ?(?:{_BE}\b|:)",
            "inverted",
            CHOSEN,
        )
        for word in tables.INVERTED
    ),
    cue(
        "except",
        r"(?: for)?:?(?= ?\S)",
        "inverted",
        CHOSEN,
        r"\ball (?:of )?(?:the |these |them |those |other )?[^.\n?!]{0,60}"
        r"\b(?:are|is) (?:true|correct|right|accurate|features|causes|signs)\b[^.\n?!]{0,60} ",
    ),
    *(
        cue(
            word,
            rf"(?: here)? {_BE}\b\s?:?",
            "inverted",
            CHOSEN,
            rf"\bthe (?:only )?{tables.INVERTED_NOUN}(?: \w+){{0,2}} (?:that|which) is ",
        )
        for word in ("false", "incorrect", "wrong", "untrue", "inaccurate")
    ),
    cue(
        "least ",
        rf"(?:likely|appropriate|accurate|useful|probable|common|helpful)(?: \w+){{0,4}}? (?:{_BE}\b|:)",
        "inverted",
        CHOSEN,
    ),
    *(
        cue(word, rf"(?: (?:here|among|of|in|to)\b[^.:\n?!]{{0,90}}?)?,? ?(?:{_BE}\b|:)", "inverted", CHOSEN)
        for word in ("exception", "odd one out")
    ),
    *(
        cue(
            word,
            rf"(?: not|n't) [^.\n?!]{{1,90}}? {_BE}\b\s?:?",
            "inverted",
            CHOSEN,
            rf"\bthe (?:only )?(?:{tables.INVERTED_NOUN}|{tables.SUBJECTS})(?: \w+){{0,3}}? ",
            checked=False,
        )
        for word in (
            "that is",
            "that's",
            "that are",
            "that does",
            "that do",
            "that did",
            "that was",
            "that has",
            "that can",
            "which is",
            "which are",
            "which does",
            "which do",
        )
    ),
    *(cue(word, rf"{rest}\b", "choose", CHOSEN, _SUBJECT) for word, rest in tables.CHOOSE),
    cue("answer", rf"(?: with)? {_LETTER}", "choose", CHOSEN, r"\b(?:i|we)(?: would|'d| will|'ll)? "),
    cue(
        "say",
        rf",?:?(?: that)?(?: it's| it is| the answer is)? {_LETTER}",
        "choose",
        CHOSEN,
        r"\b(?:i|we)(?:'d| would|'ll| will)?(?: rather| therefore)? ",
    ),
    *(
        cue(sign, r"\s?(?:故)?(?:选择|選擇|选|選)?\s?:?(?:选项|選項)?", "choose", CHOSEN, checked=False)
        for sign in ("故选", "故選", "应选", "應選", "选择", "選擇", "因此选", "所以选", "我选", "本题选")
    ),
    *(cue(word, r"(?= ?[a-z](?![a-z]))", "choose", CHOSEN, checked=False) for word in ("选", "選")),
    *(
        cue(word, r" (?=(?:option )?[\"(]?[a-z][\")]? (?:the )?(?:correct|right|best))", "said_correct", RIGHT)
        for word in ("make", "makes", "making")
    ),
    cue("statement is", r"(?= (?:true|false)\b)", "answer_is", CHOSEN, r"\b(?:this|the) "),
    *(
        cue(word, r"(?: a| an?| definitely| clearly)* (?=\"?(?:yes|no|maybe)\b\"?[.\n!,])", "answer_is", CHOSEN)
        for word in ("it is", "it's", "this is")
    ),
)
ALL: tuple[Cue, ...] = (*FORWARD, *_foreign())
PLAIN = tuple(entry for entry in ALL if entry.word.isascii())  # those that an ASCII text can hold

# A question's "A:" after its "Q:" is the word answer.
Q_THEN_A = re.compile(r"(?:^|\n)q(?:uestion)?\s?\d*\s?[:.][^\n]*\n+a\s?\d*\s?:\s*(?=\S)")
