"""Cues that stand after the option, around a lone letter, and words of correction."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from components.extraction import tables
from components.extraction.cues.cue import CHOSEN, COMPARED, CORRECTED, FIRST, RIGHT, SAID, Cue, cue

_BE = tables.BE
# What stands before a lone letter that ends a sentence: (rule, strength, words).
_HEDGE = r"(?:,? ?(?:most likely|likely|definitely|clearly|probably|therefore|thus|then|hence|indeed|actually),?)?"
MENTIONS: tuple[tuple[str, int, re.Pattern[str]], ...] = tuple(
    (
        rule,
        strength,
        re.compile(
            rf"(?:{words})\s?(?:the )?(?:correct |best |single )?(?:answer )?"
            r"(?:option|choice|letter|answer)?\s?[\"'(\[]*$"
        ),
    )
    for rule, strength, words in (
        (
            "conclusion",
            FIRST,
            r"(?:^|[\n.;!?\x1e]\s)(?:probably|(?:most )?likely|definitely|clearly|certainly"
            r"|undoubtedly|surely|obviously|evidently"
            r"|i guess|i think|i believe|i say|maybe it's),?",
        ),
        (
            "conclusion",
            FIRST,
            r"(?:^|[\n.,;!?\x1e]\s)(?:but |so )?if (?:i|we) (?:had|have) to (?:guess|choose|pick|say|answer|bet),?",
        ),
        (
            "conclusion",
            CHOSEN,
            rf"(?:^|[\n.;:!?,\x1e–—)]\s?|- |\band )(?:so|thus|therefore|hence|consequently|accordingly"
            rf"|in conclusion|overall|finally)(?:,| it is| it's| it must be| it has to be| the answer| that's"
            rf"| this is)?{_HEDGE}:?",
        ),
        ("conclusion", CHOSEN, r"\w (?<!not )(?<!or )(?:so|thus|hence|therefore)"),
        (
            "conclusion",
            FIRST,
            r"(?:^|[\n.;!?\x1e]\s)(?:to answer (?:the|this|your) question|to conclude|in short"
            r"|in sum|in summary|ultimately),?",
        ),
        ("conclusion", CHOSEN, r"(?<!\b[a-z] )(?<!\b[a-z])(?:∴|=>|→|⇒)"),
        (
            "names",
            FIRST - 5,
            rf"(?:^|[^\w])(?:it's|it is|it must be|it would be|it should be"
            r"|it's gotta be|it has got to be|this is|that is|that's|which is|i\.e\.,?|namely"
            rf"|corresponds? to|corresponding to|matches|points to|consistent with"
            rf"|(?:that|this|it|which)(?: only)? leaves|leaving|leaves us with|leaving us with|we are left with"
            r"|(?:elimination|exclusion) gives(?: us)?|(?:^|\. )by (?:exclusion|elimination),?)"
            rf"(?: us with)?(?: only)?{_HEDGE}",
        ),
        ("names", RIGHT, rf"\b(?:{tables.SUPERLATIVES})\b[^.:\n?!]{{1,170}} {_BE}{_HEDGE}"),
        (
            "names",
            RIGHT,
            rf"\b(?:the|our|my|his|her) (?:\w+ ){{0,2}}(?:{tables.SUBJECTS})(?: of choice)?(?: (?:for|of|in|to"
            rf"|here)\b[^.:\n?!]{{0,60}})? {_BE}{_HEDGE}",
        ),
    )
)
# What stands before a letter with its own option's text, besides.
OWN_MENTIONS: tuple[tuple[str, int, re.Pattern[str]], ...] = (
    (
        "conclusion",
        RIGHT,
        re.compile(
            r"(?:^|[\n.;!?\x1e]\s)(?:so|thus|therefore|hence|overall|given|taken together|in summary|altogether"
            rf"|all in all|considering|putting)\b"
            r"(?![^.:\n?!]*\b(?:not|never|worst|least|less|wrong|incorrect|unlikely|avoid\w*"
            r"|contraindicated|than)\b)"
            rf"[^.:\n?!]{{0,90}}(?<!\s[a-j]) {_BE}{_HEDGE}(?: the| an?)? [\"'(]*$"
        ),
    ),
    ("names", FIRST - 5, re.compile(r"\b(?:this|which|that|it all) makes (?:it|this)(?: the| an?)? [\"'(]*$")),
    ("names", FIRST - 5, re.compile(rf"^(?:the|this|his|her) [^.:\n?!]{{1,80}} {_BE}(?: the| an?)? [\"'(]*$")),
)
# The last word before such a letter: a quick check before the expressions above are tried.
LEADS = frozenset(
    [
        "so",
        "only",
        "bet",
        "say",
        "choose",
        "pick",
        "certainly",
        "question",
        "conclude",
        "short",
        "sum",
        "summary",
        "ultimately",
        "i.e",
        "namely",
        "undoubtedly",
        "surely",
        "obviously",
        "evidently",
        "gives",
        "us",
        "exclusion",
        "elimination",
        "guess",
        "think",
        "believe",
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
        rf"{any_letter}(?![a-zA-Z])(?<![\w'\-/.\n].)"
        r"(?=[\")'\]]*(?:[.!\n;\x1e]| (?:and|but) not\b|,(?! ?(?:and |or )?[A-Z]\b)|\s?\(|\s?$|: ))"
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


_CHOICE = re.compile(r"([^(]*)\(\?:([^)]*)\)(.*)")


def _abroad(words: str, before: str) -> Iterator[Cue]:
    """A cue for each noun: a cue begins with fixed words."""
    start, nouns, rest = found.groups() if (found := _CHOICE.fullmatch(words)) else (words, "", "")
    for noun in nouns.split("|"):
        word = start + noun
        ends = r"(?=\s?(?:[.,;!\n]|$))" if word[0] < "\u2e80" else ""
        yield replace(cue(word, rest + ends, "is_correct", RIGHT, before), foreign=True)


BACKWARD: tuple[Cue, ...] = (
    *(
        cue(word, rf" {tables.BEST_NOUN}\b{_UNLESS}", "is_correct", RIGHT, rf"{_IS}(?:single |only |most |one )?")
        for word in ("correct", "right")
    ),
    *(
        cue(
            word,
            _UNLESS + rf"(?! (?:side|heart|atri|ventric|lung|arm|leg|upper|lower|about|{tables.BEST_NOUN}))\b",
            "said_correct",
            SAID,
            rf"{_IS}(?:single |only |most |one )?",
        )
        for word in ("correct", "right")
    ),
    cue(
        "answer",
        r"\b(?! (?:if|only|when|unless|to|choice))",
        "is_correct",
        RIGHT,
        rf"{_IS}(?:final |best |only |correct )?",
    ),
    cue(
        "as the ",
        rf"(?:correct |best |right |only |final |most likely )?{tables.BEST_NOUN}\b",
        "is_correct",
        RIGHT,
        r",? ",
    ),
    cue("it is", r"(?=\s?(?:[.!\n]|$))", "conclusion", CHOSEN, r" "),  # "C it is."
    cue("the one", r"\b", "is_correct", RIGHT, r",? so (?:that|it|this)(?:'s| is) "),
    *(cue(word, r"\b", "inverted", CHOSEN, rf"{_IS}(?:only )?") for word in tables.INVERTED_PREDICATES),
    *(
        cue(word, rf" {tables.BEST_NOUN}\b{_UNLESS}", "is_correct", RIGHT, rf"{_IS}(?:single |most )?")
        for word in ("best", "appropriate", "likely", "suitable", "accurate", "better", "preferred")
    ),
    *(cue(word, r"", "compared", COMPARED, before) for word, before in tables.COMPARISONS),
    *(entry for _, words, before in tables.FOREIGN_PREDICATES for entry in _abroad(words, before)),
)

# --- Corrections. ----------------------------------------------------------------------------------------------------
_MARK_BEFORE = r"(?:^|[\n.,;!?\-–—(\"'\x1e]\s*|\b(?:but|and|however|oh|so|actually|hmm),? )"
_SAID_AGAIN = (
    r"(?![^\W_])[,:;.!\-–—]{0,3} ?(?:(?:no|wait|actually|sorry|it|rather)[, ]{1,2})?"
    r"(?:(?:it|that|this)(?:'s| is| should be| must be| has to be| would be)|(?:to|is|was|i would say|i'd say"
    r"|make (?:it|that))\b)?"
)
_ANSWER = r"(?:my|the|this) (?:final |first |initial |previous )?(?:answer|choice|mind|selection|response|pick)"
_CHANGER = r"(?:^|[\n.,;:!?\-–—(]\s*|\b(?:i|i'm|i am|i'll|i will|i'd|so|and|therefore|thus|let me|let's|must|should) )"
SMALL_CORRECTIONS = (
    *(cue(word, rf" {_ANSWER} (?:\w+ ){{0,3}}?to\b(?: be\b)?", "correction", CORRECTED) for word in tables.CHANGES),
    *(
        cue(word, r"(?: (?:it|this|that|over|from [a-j]))? to\b", "correction", CORRECTED, _CHANGER)
        for word in tables.CHANGES
    ),
    *(
        cue(
            word,
            (r"(?=[,:;.!\-–—])" if word in tables.DENYING_CORRECTIONS else "") + _SAID_AGAIN,
            "correction",
            CORRECTED,
            _MARK_BEFORE,
        )
        for word in tables.SMALL_CORRECTIONS
    ),
)
STRONG_CORRECTIONS = tuple(
    cue(word, rest + r"(?![^\W_])", "correction", CORRECTED, _MARK_BEFORE) for word, rest in tables.CORRECTIONS
)
SOFT = re.compile(r"\b(?:however|but|instead|rather|yet),?\s(?:option )?[a-z]\b")
SOFT_BEFORE = re.compile(r"(?:^|[\n.;!?]\s*)(?:however|but|instead|rather|yet),?\s(?:option )?$")
