"""The log of the pointer: `log/000007.json` is the pointer's seventh body, created once and never replaced.

Bodies are chained by sha256, so a log that was altered or shortened does not pass `walk`. A writer that is killed
between the pointer and its log entry leaves the entry in the pointer; the next writer completes it before it moves on.
"""

from __future__ import annotations

import re
from datetime import datetime

from components.errors import DamagedError, InputError
from components.platform import faults
from components.platform.storage import objects
from components.platform.storage.champion import pointer_uri
from components.serving.pointer import UNSEEN, Pointer, Served, parse, read

_ENTRY = re.compile(r"(\d{6})\.json")


def entry_uri(root: str, name: str, serial: int) -> str:
    return f"{pointer_uri(root, name).rpartition('/')[0]}/log/{serial:06}.json"


def entry(root: str, name: str, serial: int) -> Pointer | None:
    """One state of the pointer from the log, None where the log has none; raises DamagedError."""
    where = entry_uri(root, name, serial)
    value = objects.get_json(where)
    return None if value is None else parse(value, where)


def complete(root: str, name: str) -> bool:
    """Write the log entry of the pointer's present state if it is missing; returns whether it was.

    Raises DamagedError when the log has another entry at its place.
    """
    found = read(root, name)
    if found is None:
        return False
    pointer = found[0]
    where = entry_uri(root, name, pointer.serial)
    there = objects.get_json(where)
    if there is None and objects.create_json(where, pointer.body):
        faults.point("log written")
        return True
    there = there or objects.get_json(where)
    if there != pointer.body:
        raise DamagedError(f"{where}: not the entry that the pointer holds; restore it from the bucket's versions")
    return False


def walk(root: str, name: str) -> list[Pointer]:
    """Every state of the pointer, oldest first, the present one last.

    Raises DamagedError naming the entry that is missing, altered, or does not follow from the one before it.
    """
    found = read(root, name)
    if found is None:
        return []
    pointer = found[0]
    states: list[Pointer] = []
    for serial in range(1, pointer.serial + 1):
        where = entry_uri(root, name, serial)
        state = entry(root, name, serial)
        if serial == pointer.serial:
            if state is not None and state.body != pointer.body:
                raise DamagedError(f"{where}: not the state that the pointer holds; one of the two was altered")
            state = pointer
        if state is None:
            raise DamagedError(f"{where}: missing: the log only grows; restore it from the bucket's versions")
        before = states[-1].sha256 if states else ""
        if state.serial != serial or state.previous_sha256 != before:
            raise DamagedError(f"{where}: does not follow from the entry before it; one of the two was altered")
        states.append(state)
    return states


def served_at(states: list[Pointer], moment: datetime) -> tuple[Served | None, Pointer | None]:
    """The version that served at a moment (with its time zone) and the change that made it; (None, None) before all.

    A version whose deployment failed before users were sent to it did not serve: the one before it did.
    """
    if moment.tzinfo is None:
        raise InputError(f"{moment}: without a time zone")
    served = champions(states)
    past = [n for n, state in enumerate(states) if datetime.fromisoformat(state.changed.at) <= moment]
    if not past:
        return None, None
    last = since = past[-1]
    while since and served[since - 1] == served[last]:
        since -= 1
    return served[last], states[since]


def champions(states: list[Pointer]) -> list[Served | None]:
    """For each state of the pointer the version that served while it held."""
    served = [state.champion for state in states]
    for number, state in enumerate(states):
        if not (state.changed.what == "rolled back" and state.changed.why.startswith(UNSEEN)):
            continue
        unseen, first = served[number - 1], number - 1
        while first >= 0 and served[first] == unseen:
            first -= 1
        served[first + 1 : number] = [served[first] if first >= 0 else None] * (number - 1 - first)
    return served
