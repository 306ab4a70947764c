"""What a cue is, and how much each kind of declaration weighs.

A cue starts with a fixed word, so that a plain search finds it; what must stand before it is looked at only there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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


ARROW = r"(?:-{1,2}>|–|—|-|→|⇒|=>?|\|)"
