"""The sealed share of the questions: the gate decides on it, and no report, page or example quotes it.

Who makes the next candidate reads the questions that the last one lost. On those, a gain is partly learned from the
test, and the gate's level no longer holds (adaptive reuse; Dwork et al. 2015, Science 349:636). The sealed questions
stay unseen, so a decision on them keeps its level.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.errors import InputError
from components.questions.items import Item, group_of, normalise

MARKS = 256


@dataclass(frozen=True)
class Seal:
    """`share`: the fraction of question groups that is sealed, 0 for none; `number`: which draw, from 0."""

    share: float = 0.0
    number: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1 or self.number < 0:
            raise InputError(f"sealed: {self.share}: a fraction from 0 (nothing is sealed) to below 1")

    def covers(self, item: Item) -> bool:
        """Whether a question is sealed; copies of a question share the answer, whatever file they are in."""
        if not self.share:
            return False
        drawn = hashlib.sha256(f"seal {self.number} {group_of(item)}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") < self.share * 2**64


def open_items(items: Iterable[Item], seal: Seal) -> list[Item]:
    """The questions that may be quoted."""
    return [item for item in items if not seal.covers(item)]


def question_marks(items: Sequence[Item]) -> tuple[str, ...]:
    """Hashes by which two sets of questions are known to share one: the MARKS smallest, ascending.

    A hash is of stem, context and option texts, normalised: keys, ids, letters, the order of options and of rows,
    strata, punctuation and case do not count. The smallest ones of a set are a sample of it that a part of the set, or
    a set around it, has in common with it (bottom-k sketch; Cohen and Kaplan 2007, PODC): of sets that share a
    twentieth of their questions, one in half a million pairs goes unnoticed.
    """
    return tuple(sorted({question_mark(item) for item in items})[:MARKS])


def question_mark(item: Item) -> str:
    texts = [normalise(item.question), normalise(item.context or ""), *sorted(map(normalise, item.options.values()))]
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()[:16]
