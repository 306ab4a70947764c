"""A count among answers as a share with its interval, whose unit is the question group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.scoring.intervals import Codes, accuracy_interval


@dataclass(frozen=True)
class Share:
    """`count` of `of` answers; the interval is None where there are none."""

    count: int
    of: int
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        return self.count / self.of if self.of else None


def share(flags: Any, groups: Codes, confidence: float = 0.95) -> Share:
    """The share of true `flags`; `groups` holds the question group of each answer."""
    values = np.asarray(flags, dtype=np.float64)
    interval = accuracy_interval(values, np.asarray(groups, dtype=np.int64), confidence)
    ends = (interval.low, interval.high) if interval else (None, None)
    return Share(int(values.sum()), len(values), *ends)
