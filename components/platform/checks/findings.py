"""What a check found: fine, to be known, or in the way of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.errors import ReadableError

Level = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: what, how it went, and in words why and what to do where it did not go well."""

    label: str
    level: Level = "ok"
    text: str = ""

    @property
    def mark(self) -> str:
        """The level in a short word that catches the eye."""
        return {"ok": "ok", "warning": "WARN", "failed": "FAIL"}[self.level]

    def __str__(self) -> str:
        return f"{self.mark:5} {self.label}{f': {self.text}' if self.text else ''}"

    def record(self) -> dict[str, Any]:
        """The finding as a JSON object: label, level, text."""
        return asdict(self)


Check = Callable[[], Iterable[Finding] | None]


def found(label: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; one that raises a readable error is a finding too, one that says nothing is fine."""
    try:
        findings = list(check() or ())
    except ReadableError as error:
        yield Finding(label, "failed", str(error))
    else:
        yield from findings or [Finding(label)]
