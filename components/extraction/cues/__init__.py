"""Cues: the words that announce an answer, compiled from the tables. A kind of declaration is a file.

What stands after the option, around a lone letter, and words of correction are in before.py.
"""

from __future__ import annotations

import re

from components.extraction.cues.answer_is import ANSWER_IS
from components.extraction.cues.boxed_or_tagged import ENCLOSED
from components.extraction.cues.chosen import CHOICES
from components.extraction.cues.cue import (
    ARROW,
    BEFORE,
    CHOSEN,
    COMPARED,
    CORRECTED,
    DECLARED,
    FIRST,
    RIGHT,
    SAID,
    WEAK,
    Cue,
    cue,
)
from components.extraction.cues.inverted import INVERTED
from components.extraction.cues.languages import FOREIGN, FOREIGN_DENIAL

__all__ = [
    "ALL", "ARROW", "BEFORE", "CHOSEN", "COMPARED", "CORRECTED", "DECLARED", "FIRST", "FOREIGN_DENIAL", "PLAIN",
    "Q_THEN_A", "RIGHT", "SAID", "WEAK", "Cue", "cue",
]  # fmt: skip

ALL: tuple[Cue, ...] = (*ENCLOSED, *ANSWER_IS, *INVERTED, *CHOICES, *FOREIGN)
PLAIN = tuple(entry for entry in ALL if entry.word.isascii())  # those that an ASCII text can hold

# A question's "A:" after its "Q:" is the word answer.
Q_THEN_A = re.compile(r"(?:^|\n)q(?:uestion)?\s?\d*\s?[:.][^\n]*\n+a\s?\d*\s?:\s*(?=\S)")
