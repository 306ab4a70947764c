"""The gate's settings as data: how much error it may make, what counts as a loss, and how looks share the error.

Two schedules of the level of the k-th decision (look) against one baseline on one set of questions, both of which sum
to at most alpha over all looks:

- `harmonic`: alpha / (k (k + 1)), for ever;
- `horizon`: alpha / horizon for each of the first `horizon` looks, nothing after them. Later looks keep more (at look
  26 of 52, 9.6e-4 of an alpha of 0.05 in place of 7.1e-5), the first ones less.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from components.errors import InputError

SCHEDULES = ("harmonic", "horizon")


@dataclass(frozen=True)
class Rules:
    """What the gate holds a candidate to; fractions, not percent. The defaults are our choices.

    alpha: chance of any false promotion over all looks; margin: how much worse still counts as not worse;
    no_answer_bound: the share of unanswered items that must be excluded; look: the how-manieth decision this is, from
    1 (the caller counts); schedule, horizon: how looks share alpha; benchmark_margin: the largest loss on one benchmark
    that may be shown; guard_columns: further columns of the items whose values are guarded like benchmarks.
    """

    alpha: float = 0.05
    margin: float = 0.03
    no_answer_bound: float = 0.1
    look: int = 1
    schedule: str = "harmonic"
    horizon: int = 26
    benchmark_margin: float = 0.05
    guard_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = {"alpha": self.alpha, "margin": self.margin, "benchmark_margin": self.benchmark_margin}
        for name, value in shares.items():
            if not 0 < value < 1:
                raise InputError(f"gate: {name}: {value!r} must be a fraction above 0 and below 1")
        if not 0 < self.no_answer_bound <= 1:
            raise InputError(f"gate: no_answer_bound: {self.no_answer_bound!r} must be above 0 and at most 1")
        if self.look < 1 or self.horizon < 1:
            raise InputError(f"gate: look {self.look!r} and horizon {self.horizon!r} count from 1")
        if self.schedule not in SCHEDULES:
            raise InputError(f"gate: schedule: {self.schedule!r} is not one of {', '.join(SCHEDULES)}")

    @property
    def level(self) -> float:
        """Level of each rule at this look; 0 after the horizon's end, where nothing can pass."""
        return level_at(self.look, self.alpha, self.schedule, self.horizon)

    def record(self) -> dict[str, dict[str, Any]]:
        """{setting: {value, default, changed}} for decision.json; `level` is what follows from them at this look."""
        standard = Rules(look=self.look)
        names = [field.name for field in fields(self) if field.name != "look"] + ["level"]
        values = {name: (_plain(getattr(self, name)), _plain(getattr(standard, name))) for name in names}
        return {name: {"value": v, "default": d, "changed": v != d} for name, (v, d) in values.items()}


def level_at(look: int, alpha: float, schedule: str = "harmonic", horizon: int = 26) -> float:
    """The level of the look (from 1) under a schedule."""
    return horizon_level(look, alpha, horizon) if schedule == "horizon" else harmonic_level(look, alpha)


def harmonic_level(look: int, alpha: float) -> float:
    return alpha / (look * (look + 1))


def horizon_level(look: int, alpha: float, horizon: int) -> float:
    return alpha / horizon if look <= horizon else 0.0


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
