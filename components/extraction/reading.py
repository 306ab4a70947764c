"""What a reading is: the candidates that were found and the one that won. What reads them is engine.py.

Nothing here is compiled, so that a module which only names a reading starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

EXTRACTION_VERSION = "4"


class Candidate(NamedTuple):
    """An option named in `span` (text[start:end]); `rule` says by what kind of words, `strength` what they weigh."""

    rule: str
    strength: int
    start: int
    end: int
    letter: str
    by: str = "letter"
    span: str = ""
    status: str = ""


@dataclass(frozen=True)
class Reading:
    """What was read: a letter, by which rule (or why none), and every candidate with its status."""

    letter: str | None
    read_by: str
    candidates: tuple[Candidate, ...] = ()
