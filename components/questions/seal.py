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
from components.questions.items import Item, group_of


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


def questions_digest(items: Sequence[Item]) -> str:
    """sha256 of what is asked and what is right: stems, contexts, option texts, the right text.

    The order of rows and of options, letters, strata and prefills do not count: a set that asks the same is the same.
    """
    rows = sorted(
        json.dumps([i.question, i.context, sorted(i.options.values()), i.options[i.answer_idx]], ensure_ascii=False)
        for i in items
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
