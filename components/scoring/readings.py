"""How answers were read: which letters they picked, and what the probe says of the rule that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.scoring.intervals import Codes, accuracy_interval
from components.scoring.shares import Share, share

ALPHA = 0.05


@dataclass(frozen=True)
class Excess:
    """How much more often a letter is picked than it is the key (a difference of shares), with its interval."""

    letter: str
    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Letters:
    """Of `n` answers that name an option: the share of each letter, and of each key among the same questions.

    `most` is the letter with the largest excess; its interval is adjusted for the choice among letters (Bonferroni).
    """

    n: int
    picked: Mapping[str, float]
    keys: Mapping[str, float]
    most: Excess | None


def letters(picked: Sequence[str], keys: Sequence[str], groups: Codes) -> Letters:
    """The letters of one model's answers; the three sequences have an entry per answer."""
    names = sorted({*picked, *keys})
    own, right = np.array(picked, dtype="U1"), np.array(keys, dtype="U1")
    excess = {name: (own == name).astype(float) - (right == name) for name in names}
    most = None
    if names:
        name = max(names, key=lambda n: excess[n].mean())
        # A difference of -1, 0 or 1 as a fraction of its range.
        found = accuracy_interval((excess[name] + 1) / 2, groups, 1 - ALPHA / len(names))
        assert found is not None
        most = Excess(name, float(excess[name].mean()), 2 * found.low - 1, 2 * found.high - 1)
    return Letters(
        len(own),
        {name: float((own == name).mean()) for name in names},
        {name: float((right == name).mean()) for name in names},
        most,
    )


@dataclass(frozen=True)
class Probed:
    """Of `n` answers asked once more for the letter alone.

    `differ`: those that the rule read and where the probe's letter is another; in `rule_right` and `probe_right` of
    these the one or the other is the key. `unread`: those that the rule did not read, in `unread_right` of which the
    probe's letter is the key.
    """

    n: int
    differ: Share
    rule_right: int
    probe_right: int
    unread: int
    unread_right: int


def probed(rule: Sequence[str | None], probe: Sequence[str], keys: Sequence[str], groups: Codes) -> Probed:
    """Rule against probe; the sequences have an entry per probed answer, None where the rule read no letter."""
    read = np.array([letter is not None for letter in rule], dtype=bool)
    own = np.array([letter or "" for letter in rule], dtype="U1")
    said, right = np.array(probe, dtype="U1"), np.array(keys, dtype="U1")
    differ = read & (own != said)
    return Probed(
        n=len(own),
        differ=share(differ[read], np.asarray(groups, dtype=np.int64)[read]),
        rule_right=int((differ & (own == right)).sum()),
        probe_right=int((differ & (said == right)).sum()),
        unread=int((~read).sum()),
        unread_right=int((~read & (said == right)).sum()),
    )
