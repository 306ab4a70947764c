"""How often a training saves when its recipe says so in minutes: from how long steps and saves are seen to take."""

from __future__ import annotations

from collections import deque
from statistics import median

SHARE = 0.05  # of the time that the processes may spend writing checkpoints, at most
STEPS = 20  # the last ones tell how long a step takes


class Cadence:
    """Says at the end of a step whether a checkpoint is due; times are seconds of one clock.

    It is due at the step whose end is nearest to `minutes` after the last one, or to twenty times as long as writing
    the last one took where that is more.
    """

    def __init__(self, minutes: float, began: float) -> None:
        self._wanted = 60 * minutes
        self._last = self._step_ended = began
        self._writing = 0.0
        self._steps: deque[float] = deque(maxlen=STEPS)

    def due(self, now: float) -> bool:
        """To be asked at the end of every step."""
        self._steps.append(now - self._step_ended)
        self._step_ended = now
        interval = max(self._wanted, self._writing / SHARE)
        return now + median(self._steps) / 2 >= self._last + interval

    def saved(self, began: float, now: float) -> None:
        """A checkpoint was written; the next step begins."""
        self._last = self._step_ended = now
        self._writing = now - began
