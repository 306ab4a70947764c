"""Promote: make a registered version the champion, if everything that is known speaks for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Promotion = Literal["manual", "auto"]
Result = Literal["promoted", "refused", "proposed", "already"]


@dataclass(frozen=True)
class Asked:
    """Who wants a version promoted, and how.

    `promotion` is the recipe's word: `manual` leaves the version proposed for a person's sign-off. `soak` leaves it
    proposed for that long; the same call after that time promotes it. `approve` is the sign-off of what is proposed,
    `force` overrules the gate, a stale baseline and an earlier rejection (never damaged files). `run` is the pipeline
    run that asks.
    """

    by: str
    why: str = ""
    run: str = ""
    promotion: Promotion = "manual"
    soak: timedelta = timedelta()
    force: bool = False
    approve: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it: `reasons` say why (of a refusal each one), `warnings` what is left to repair."""

    outcome: Result
    version: str
    reasons: tuple[str, ...] = ()
    serial: int | None = None
    warnings: tuple[str, ...] = ()


def promote(root: str, name: str, version: str | None, asked: Asked) -> Outcome:
    """Promote, propose or refuse `version` of the registered model `name` (None: the version that is proposed).

    Raises DamagedError for files that are gone or altered, ConflictError (exit code 4) when another moved the pointer
    first, InputError for a version that does not exist and for a store whose conditional writes do not hold,
    UnavailableError when store or registry do not answer. Nothing is half moved: the same call again ends well.
    """
    raise NotImplementedError
