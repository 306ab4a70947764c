"""Roll back: the previous version serves again, and the one that is left may not be promoted again."""

from __future__ import annotations

from dataclasses import replace

from components.errors import ConflictError, InputError
from components.platform import faults
from components.serving import audit, versions
from components.serving.files import verified
from components.serving.pointer import Pointer, Served, move, read, rejected, said
from components.serving.promote import Asked, Outcome


def rollback(root: str, name: str, to: str | None, asked: Asked, serial: int | None = None) -> Outcome:
    """Make `to` (None: the previous version) the champion and reject the one that is left.

    With `serial`, only if the pointer still has it (what was deployed). The files of the version are looked for, not
    read. A second rollback changes nothing and asks for `to`. Raises InputError where there is no version to go to,
    DamagedError for one whose files are gone, ConflictError when another moved the pointer first.
    """
    found = read(root, name)
    if found is None or found[0].champion is None:
        raise InputError(f"{name}: no version serves by the pointer in {root}, so there is none to leave")
    pointer, etag = found
    assert pointer.champion is not None
    if serial is not None and pointer.serial != serial:
        raise ConflictError(f"{name}: {said(pointer)}, after serial {serial} was deployed; nothing was changed")
    states = audit.walk(root, name)
    target = pointer.previous if to is None else _named(name, to, states)
    if target is None or target == pointer.champion:
        return _stays(root, name, pointer, states, to)
    if entry := pointer.rejection(target):
        why = f"version {target.version} was rejected at {entry.at}: {entry.why}"
        hint = f"`biomed-r1 promote {target.version} --force --reason ...` overrules that"
        return Outcome("refused", target.version, (why, hint), pointer.serial)
    verified(target.uri, target.digest, every_byte=False)
    asked = replace(asked, why=asked.why or f"version {pointer.champion.version} was left")
    left = () if pointer.rejection(pointer.champion) else (rejected(pointer.champion, asked.why),)
    state = pointer.after(
        asked.changed("rolled back"), champion=target, previous=None, rejected=(*pointer.rejected, *left)
    )
    if asked.dry_run:
        return Outcome("rolled back", target.version, ("nothing was changed: --dry-run",), pointer.serial)
    faults.point("rollback decided")
    move(root, name, etag, state)
    return Outcome("rolled back", target.version, (said(state),), state.serial, tuple(versions.project(root, name)))


def _stays(root: str, name: str, pointer: Pointer, states: list[Pointer], to: str | None) -> Outcome:
    """The answer where the champion is already the version to go to, or after a rollback none is named."""
    assert pointer.champion is not None
    version = pointer.champion.version
    past = dict.fromkeys(state.champion.version for state in reversed(states) if state.champion)
    others = [other for other in past if other != version]
    named = f"--to VERSION names one; these served before: {', '.join(others) or 'none'}"
    if to is None and _made(states) != "rolled back":
        raise InputError(f"{name}: version {version} has no previous version to go back to; {named}")
    audit.complete(root, name)
    why = f"version {version} serves already"
    if to is None:
        made = next(state for state in reversed(states) if state.changed.what == "rolled back")
        why = f"{why}: {said(made)}; to go further back, {named}"
    return Outcome("already", version, (why,), pointer.serial, tuple(versions.project(root, name)))


def _made(states: list[Pointer]) -> str:
    """What the last change of the champion was."""
    return next((state.changed.what for state in reversed(states) if state.changed.what != "proposed"), "")


def _named(name: str, version: str, states: list[Pointer]) -> Served:
    """A version as it served, from the log, else as it is registered."""
    found = [state.champion for state in states if state.champion and state.champion.version == version]
    return found[-1] if found else versions.served(name, version)
