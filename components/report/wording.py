"""Figures as words: percent, points, intervals, lists and verbs, the same in every section of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def percent(value: Any, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}{SPACE}%".replace("-", "−") if is_number(value) else "n/a"


def points(value: Any) -> str:
    """A signed difference in percentage points."""
    return signed(value) + f"{SPACE}points" if is_number(value) else "n/a"


def signed(value: float) -> str:
    """A difference in points without the unit; what rounds to nothing has no sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def spread(low: Any, high: Any, signed: bool = False) -> str:
    """An interval in percent, without the sign of percent."""
    if not (is_number(low) and is_number(high)):
        return "no interval"
    ends = (f"{100 * end:+.1f}" if signed else f"{100 * end:.1f}" for end in (low, high))
    return " to ".join("0.0" if end in ("+0.0", "-0.0") else end for end in ends).replace("-", MINUS)


def join(names: Sequence[str], comma: str = ", ") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else comma.join(names[:-1]) + f" and {names[-1]}"


def has_interval(record: Mapping[str, Any]) -> bool:
    return is_number(record.get("ci_low")) and is_number(record.get("ci_high"))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def verb(count: int, one: str = "do", many: str | None = None) -> str:
    """The verb in number: `do` and `answer` take an s for one subject unless a plural is given."""
    if many is not None:
        return one if count == 1 else many
    return (one + "es" if one == "do" else one + "s") if count == 1 else one
