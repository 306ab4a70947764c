"""A checkpoint every so many minutes, whatever a step takes, and rarely enough that writing them costs a twentieth."""

from __future__ import annotations

from components.training.saving.cadence import Cadence


def saves(minutes: float, step: float, writing: float, steps: int) -> list[int]:
    """The steps after which a training saved, when each takes so many seconds, and each save too."""
    cadence, now, found = Cadence(minutes, began=100.0), 100.0, []
    for number in range(1, steps + 1):
        now += step
        if cadence.due(now):
            cadence.saved(now, now + writing)
            now += writing
            found.append(number)
    return found


def test_the_step_that_is_nearest() -> None:
    assert saves(minutes=10, step=60, writing=1, steps=35) == [10, 20, 30]
    assert saves(minutes=10, step=80, writing=1, steps=16) == [7, 14]  # 560 s are nearer to 600 than 640
    assert saves(minutes=10, step=1000, writing=1, steps=3) == [1, 2, 3]


def test_a_slow_disk_makes_them_rarer() -> None:
    found = saves(minutes=10, step=60, writing=300, steps=400)
    assert found[0] == 10 and found[1] - found[0] == 100  # 300 s are a twentieth of 100 minutes


def test_steps_that_become_slower() -> None:
    cadence = Cadence(minutes=1, began=0.0)
    assert not cadence.due(10.0) and not cadence.due(20.0)
    assert cadence.due(56.0)
