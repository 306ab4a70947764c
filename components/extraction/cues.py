"""Cues compiled from the tables.

A cue starts with a fixed word, so that a plain search finds it; what must stand before it is looked at only there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

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


def _cue(word: str, rest: str, rule: str, strength: int = DECLARED, before: str = "", *, sure: bool = False,
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
    r"(?:'d|'ll|'m| would| will| shall| must| have to| am| need to| should)?(?: (?:therefore|thus|then|have to"
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
            cues.append(_cue(word, rf"{rest}\s?(?:{copulas})?\s?:+", "answer_is", sure=True))
            cues.append(_cue(word, rf"{rest}{gap}(?:{copulas}){after}\s?:?", "answer_is", sure=True))
            cues.append(_cue(word, rf"{rest}\s?[-–—=]+", "answer_is", sure=True))
    return [replace(cue, foreign=True) for cue in cues]


FOREIGN_DENIAL = re.compile(tables.FOREIGN_DENIALS)
FORWARD: tuple[Cue, ...] = (
    _cue("boxed", r"\s*[{(\[]|(?<=boxed) (?=[a-z]\b)", "boxed", sure=True, checked=False),
    _cue("[[", r"(?=[\"' ]?[a-z][\"' .)]*[^\n\]]{0,80}\]\])", "tag", sure=True, checked=False),
    _cue("<<", r"(?=[\"' ]?[a-z][\"' .)]*[^\n>]{0,80}>>)", "tag", sure=True, checked=False),
    _cue("<", rf"\s?{tables.ANSWER_TAGS}(?:\s[^<>]{{0,60}})?>", "tag", sure=True, checked=False),
    _cue("[", rf"\s?{tables.ANSWER_TAGS}\s?\](?!\()", "tag", sure=True, checked=False),
    *(
        _cue(word, r"\w{0,20}\s?[\[(]\s?"
                   r"(?:[\w ]{1,20}=\s?)?(?=[\"'(]?[a-z])(?=[^\n]{1,200}[\])])", "call", sure=True, checked=False)
        for word in tables.CALL_NAMES
    ),
    *(
        _cue(word, rf"(?: (?:answer|choice|option|letter"
                   rf"|decision"
                   rf"|is))?[\"')]?\s?(?::+|{ARROW}(?!\d))", "answer_is", DECLARED, _START + _ADJECTIVES, sure=True)
        for word in tables.NOUNS
    ),
    *(_cue(word, r"\s?:+", "weak_noun", WEAK + 5, _START + _ADJECTIVES, sure=True) for word in tables.WEAK_NOUNS),
    _cue("letter ", r"(?=[a-z]\b)", "answer_is", DECLARED, r"\banswer: ?", sure=True),
    _cue("answer", rf"s?(?: choice| option| letter| key)?[\"']?(?:{_TO}\s?(?::+|{ARROW})| ?(?=[(\[][a-z][)\]])"
                   rf"| ?\n)", "answer_is", sure=True),
    _cue("answer", rf"[\"']?{_TO},?\s?\b{_BE}(?!\w)\s?:?", "answer_is"),
    _cue("answer", rf"(?: choice)? {_ENDED}", "answer_is", DECLARED, _START + _ADJECTIVES, sure=True),
    _cue("ans", rf"(?:\.? ?(?:[:=]|{ARROW})|\.(?= ?\(?[a-z]\b)| ?(?=[(\[][a-z][)\]]))", "answer_is", sure=True),
    _cue("ans", rf" {_ENDED}", "answer_is", DECLARED, _START, sure=True),
    _cue("choice", rf" {_ENDED}", "answer_is", DECLARED, _START + r"(?:final|best|correct"
                                                                  r"|my|answer|selected) ", sure=True),
    *(_cue(word, _GOES, "answer_is", DECLARED, _OPTION_BEFORE) for word in ("option", "choice", "letter", "selection", "decision", "response")),
    *(_cue(word, _GOES, "answer_is", DECLARED, r"\b(?:correct"
                                               r"|right|true) ") for word in ("statement", "one", "diagnosis", "treatment", "match", "combination", "sequence", "order", "pair")),
    _cue("conclusion is", r"\b", "answer_is"),
    *(
        _cue(word, rf" (?:{tables.INVERTED_NOUN}|answer choice)(?: (?:here|among|of|in|regarding|about|from"
                   rf"|concerning|given)\b[^.:\n?!]{{0,90}}?)?,? ?(?:{_BE}\b|:)", "inverted", CHOSEN)
        for word in tables.INVERTED
    ),
    _cue("least ", rf"(?:likely|appropriate|accurate|useful|probable|common|helpful)(?: \w+){{0,4}}? (?:{_BE}\b"
                   rf"|:)", "inverted", CHOSEN),
    *(_cue(word, rf"(?: (?:here|among|of|in"
                 rf"|to)\b[^."
                 rf":\n?!]{{0,90}}?)?,? ?(?:{_BE}\b|:)", "inverted", CHOSEN) for word in ("exception", "odd one out")),
    *(
        _cue(word, rf"(?: not|n't) [^.\n?!]{{1,90}}? {_BE}\b\s?:?", "inverted", CHOSEN, rf"\bthe (?:only )?"
                                                                                        rf"(?:{tables.INVERTED_NOUN}|{tables.SUBJECTS})"
                                                                                        rf"(?: \w+){{0,3}}? ", checked=False)
        for word in ("that is", "that's", "that are", "that does", "that do", "that did", "that was", "that has", "that can", "which is", "which are", "which does", "which do")
    ),
    *(_cue(word, rf"{rest}\b", "choose", CHOSEN, _SUBJECT) for word, rest in tables.CHOOSE),
    _cue("answer", rf"(?: with)? {_LETTER}", "choose", CHOSEN, r"\b(?:i|we)(?: would|'d| will|'ll)? "),
    _cue("say", rf",?:?(?: that)?(?: it's"
                rf"| it is| the answer is)? {_LETTER}", "choose", CHOSEN, r"\b(?:i|we)(?:'d| would|'ll"
                                                                                                r"| will)?("
                                                                                                r"?: rather| therefore)? "),
    *(_cue(sign, r"\s?(?:故)?(?:选择|選擇|选"
                 r"|選)?\s?:?(?:选项|選項)?", "choose", CHOSEN, checked=False) for sign in ("故选", "故選", "应选", "應選", "选择", "選擇", "因此选", "所以选", "我选", "本题选")),
    *(_cue(word, r"(?= ?[a-z](?![a-z]))", "choose", CHOSEN, checked=False) for word in ("选", "選")),
    *(_cue(word, r" (?=(?:option )?[\""
                 r"(]?[a-z][\")]? "
                 r"(?:the )?(?:correct|right|best))", "said_correct", RIGHT) for word in ("make", "makes", "making")),
    _cue("statement is", r"(?= (?:true|false)\b)", "answer_is", CHOSEN, r"\b(?:this|the) "),
    *(_cue(word, r"(?: a| an?| definitely| clearly)* "
                 r"(?=\"?(?:yes|no|maybe)\b\"?[.\n!,])", "answer_is", CHOSEN) for word in ("it is", "it's", "this is")),
)  # fmt: skip
ALL: tuple[Cue, ...] = (*FORWARD, *_foreign())
PLAIN = tuple(cue for cue in ALL if cue.word.isascii())  # those that an ASCII text can hold

# A question's "A:" after its "Q:" is the word answer.
Q_THEN_A = re.compile(r"(?:^|\n)q(?:uestion)?\s?\d*\s?[:.][^\n]*\n+a\s?\d*\s?:\s*(?=\S)")

# What stands before a lone letter that ends a sentence: (rule, strength, words).
_HEDGE = r"(?:,? ?(?:most likely|likely|definitely|clearly|probably|therefore|thus|then|hence|indeed|actually),?)?"
MENTIONS: tuple[tuple[str, int, re.Pattern[str]], ...] = tuple(
    (rule, strength, re.compile(rf"(?:{words})\s?(?:the )?(?:correct |best )?(?:option|choice|letter"
                                rf"|answer)?\s?[\"'(\[]*$"))
    for rule, strength, words in (
        ("conclusion", CHOSEN, rf"(?:^|[\n.;:!?,\x1e–—)]\s?|- |\band )(?:so|thus|therefore|hence|consequently"
                               rf"|accordingly|in conclusion|overall|finally)(?:,| it is| it's| it must be"
                               rf"| it has to be| the answer| that's| this is)?{_HEDGE}:?"),
        ("conclusion", CHOSEN, r"∴|=>|→|⇒"),
        ("names", FIRST - 5, rf"(?:^|[^\w])(?:it's|it is|it must be|it would be|it should be|this is|that is"
                             rf"|that's|which is|corresponds? to|corresponding to|matches|points to"
                             rf"|consistent with|that leaves|leaving|leaves us with|leaving us with"
                             rf"|we are left with|this leaves){_HEDGE}"),
        ("names", RIGHT, rf"\b(?:{tables.SUPERLATIVES})\b[^.:\n?!]{{1,170}} {_BE}{_HEDGE}"),
        ("names", RIGHT, rf"\b(?:the|our|my|his|her) (?:\w+ )?(?:{tables.SUBJECTS})(?: of choice)?(?: (?:for|of"
                         rf"|in|to|here)\b[^.:\n?!]{{0,60}})? {_BE}{_HEDGE}"),
    )
)  # fmt: skip
# The last word before such a letter: a quick check before the expressions above are tried.
LEADS = frozenset(
    [
        "so",
        "thus",
        "therefore",
        "hence",
        "consequently",
        "accordingly",
        "conclusion",
        "overall",
        "finally",
        "∴",
        "→",
        "⇒",
        "=>",
        "is",
        "was",
        "be",
        "it's",
        "that's",
        "remains",
        "becomes",
        "to",
        "matches",
        "with",
        "leaves",
        "leaving",
        "likely",
        "definitely",
        "clearly",
        "probably",
        "then",
        "indeed",
        "actually",
        "answer",
        "option",
        "choice",
        "letter",
        "the",
        "correct",
        "best",
    ]
)


@lru_cache(maxsize=64)
def mention(letters: tuple[str, ...]) -> re.Pattern[str]:
    """One of the letters at the end of a sentence or before a bracket, and not at the start of a line."""
    any_letter = f"[{''.join(letters)}]"
    return re.compile(
        rf"{any_letter}(?<![\w'\-/.\n].)(?=[\")'\]]*(?:[.!\n;\x1e]|,(?! ?(?:and |or )?[A-Z]\b)|\s?\(|\s?$|: ))"
    )


_ADVERB = (
    r"(?:,? ?(?:thus|therefore|clearly|definitely|most likely|likely|probably|indeed|hence|actually|also"
    r"|then|certainly|in fact|still|obviously),? )?"
)
_IS = rf"(?:(?<=[\s\"')\],.\-–—a-z0-9%])) (?:{_BE}|'s) ?{_ADVERB}(?:the |my |our )?"
_UNLESS = (
    r"(?!,? (?:so|and|but|thus|therefore|hence),? (?:it's |it is |this is |that is )?not\b)(?! (?:\w+ )?"
    r"(?:if|only|when|unless|for|in (?!this|our|the case|that)))"
)
_COMPARED = (" best", " better", " more ", " sense", " most ", " of choice", " remains", " left", " next ")
BACKWARD: tuple[Cue, ...] = (
    *(_cue(word, rf" {tables.BEST_NOUN}\b{_UNLESS}", "is_correct", RIGHT, rf"{_IS}(?:single "
                                                                          rf"|only |most |one )?") for word in ("correct", "right")),
    *(_cue(word, _UNLESS + rf"(?! (?:side|heart|atri|ventric|lung|arm|leg|upper|lower|about"
                           rf"|{tables.BEST_NOUN}))\b", "said_correct", SAID, rf"{_IS}(?:single "
                                                                              rf"|only |most |one )?") for word in ("correct", "right")),
    _cue("answer", r"\b(?! (?:if|only"
                   r"|when|unless|to|choice))", "is_correct", RIGHT, rf"{_IS}(?:final |best |only |correct )?"),
    _cue("as the ", rf"(?:correct |best |right |only "
                    rf"|final |most likely )?{tables.BEST_NOUN}\b", "is_correct", RIGHT, r",? "),
    _cue("the one", r"\b", "is_correct", RIGHT, r",? so (?:that|it|this)(?:'s| is) "),
    *(_cue(word, r"\b", "inverted", CHOSEN, rf"{_IS}(?:only )?") for word in tables.INVERTED_PREDICATES),
    *(_cue(word, rf" {tables.BEST_NOUN}\b{_UNLESS}", "is_correct", RIGHT, rf"{_IS}(?:single |most )?") for word in ("best", "appropriate", "likely", "suitable", "accurate", "better", "preferred")),
    *(_cue(word, r"", "compared", COMPARED, before) for word, before in tables.COMPARISONS),
)  # fmt: skip

# --- Corrections. ----------------------------------------------------------------------------------------------------
_MARK_BEFORE = r"(?:^|[\n.,;!?\-–—(\"'\x1e]\s*|\b(?:but|and|however|oh|so|actually|hmm),? )"
_SAID_AGAIN = (
    r"(?![^\W_])[,:;.!\-–—]{0,3} ?(?:(?:no|wait|actually|sorry|it|rather)[, ]{1,2})?"
    r"(?:(?:it|that|this)(?:'s| is| should be| must be| has to be| would be)|(?:to|is|was|i would say|i'd say"
    r"|make (?:it|that))\b)?"
)
SMALL_CORRECTIONS = tuple(
    _cue(
        word,
        (r"(?=[,:;.!\-–—])" if word in tables.DENYING_CORRECTIONS else "") + _SAID_AGAIN,
        "correction",
        CORRECTED,
        _MARK_BEFORE,
    )
    for word in tables.SMALL_CORRECTIONS
)
STRONG_CORRECTIONS = tuple(
    _cue(word, rest + r"(?![^\W_])", "correction", CORRECTED, _MARK_BEFORE) for word, rest in tables.CORRECTIONS
)
CHANGED = re.compile(r"chang(?:e|ed|ing) (?:my|the) (?:answer|choice|mind) (?:\w+ ){0,2}?to\b")
SOFT_BEFORE = re.compile(r"(?:^|[\n.;!?]\s*)(?:however|but|instead|rather|yet),?\s(?:option )?$")
