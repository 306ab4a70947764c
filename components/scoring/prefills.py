"""What became of a wrong prefill: corrected to another option, kept (said again, or by silence), or no option named.

The three call for different remedies, and one accuracy hides them. A model that ends its turn after the prefill has
kept the wrong statement; its answer format is not broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.scoring.intervals import Codes
from components.scoring.shares import Share, share

Outcome = Literal["corrected", "kept", "silent", "none"]
OUTCOMES: tuple[Outcome, ...] = ("corrected", "kept", "silent", "none")
# Ends that were not the model's choice: no silence of its own can be read from them.
CUT = ("length", "content_filter", "too_long")


def prefill_outcome(output: str, letter: str | None, named: str | None, finish_reason: str | None = None) -> Outcome:
    """What `output`, whose extracted option is `letter`, made of a prefill that names the option `named`.

    corrected: it names another option, right or wrong. kept: it names the same one. silent: the model ended its answer
    without a word, so the prefill stands. none: it says something, or was cut off, and names no option.
    """
    if letter is not None:
        return "kept" if letter == named else "corrected"
    return "silent" if stands(output, finish_reason) else "none"


def stands(output: str, finish_reason: str | None) -> bool:
    """Whether a prefill stands as the answer: nothing was added, and nobody but the model ended it."""
    return finish_reason not in CUT and not has_words(output)


def has_words(output: str) -> bool:
    """Whether an output says anything at all: a letter or a digit."""
    return any(character.isalnum() for character in output)


@dataclass(frozen=True)
class Prefilled:
    """Of one model: the share of its prefilled answers that became what, and how many were corrected to the key.

    `unnamed` answers are not counted: what their prefill names could not be told.
    """

    n: int
    shares: Mapping[Outcome, Share]
    right: int
    unnamed: int = 0


def outcome_shares(outcomes: Sequence[Outcome], groups: Codes, right: int, unnamed: int = 0) -> Prefilled:
    """Shares with intervals; `groups` holds the question group of each answer."""
    codes = np.array([OUTCOMES.index(outcome) for outcome in outcomes], dtype=np.int64)
    shares = {name: share(codes == place, groups) for place, name in enumerate(OUTCOMES)}
    return Prefilled(len(codes), shares, right, unnamed)
