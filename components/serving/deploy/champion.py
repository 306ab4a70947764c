"""What the pointer asks for, and giving it back when the version did not do."""

from __future__ import annotations

from dataclasses import dataclass

from components.errors import ConflictError, InputError
from components.serving import audit, versions
from components.serving import pointer as pointers
from components.serving.deploy.status import Status
from components.serving.pointer import Changed, Served


@dataclass(frozen=True)
class Desired:
    """The champion of a registered model and the serial of the pointer that names it."""

    serial: int
    what: Served


def desired(root: str, name: str) -> Desired:
    """Raises InputError where the pointer names no champion, and as the store does."""
    found = pointers.read(root, name)
    if found is None or found[0].champion is None:
        raise InputError(f"{name}: no version was promoted yet, so there is nothing to deploy; see `biomed-r1 promote`")
    return Desired(found[0].serial, found[0].champion)


def give_back(root: str, name: str, status: Status, by: str) -> str:
    """Move the pointer from the version that failed to the one before it, and reject its content; says what was done.

    Only if the pointer still is the one that was deployed (`If-Match`): whoever moved it since knows better. The same
    call after a kill finds its own move and completes it.
    """
    found = pointers.read(root, name)
    failed = "deployment failed after the switch" if status.state == "revert" else pointers.UNSEEN
    changed = Changed(by=by, at=pointers.now(), what="rolled back", why=f"{failed}: {status.reason}")
    if found and (found[0].changed.what, found[0].changed.why) == (changed.what, changed.why):
        audit.complete(root, name)
        return _given_back(root, name, status, found[0].champion)
    if found is None or found[0].champion is None:
        return "the pointer names no champion any more"
    pointer, etag = found
    champion = pointer.champion
    assert champion is not None
    if champion.digest != status.what.digest or (
        pointer.serial != status.serial and pointer.changed.what != "proposed"
    ):
        return f"the pointer was moved meanwhile: {pointers.said(pointer)}"
    entry = pointers.rejected(champion, status.reason)
    others = tuple(old for old in pointer.rejected if old.digest != entry.digest)
    moved = pointer.after(changed, champion=pointer.previous, previous=None, rejected=(*others, entry))
    try:
        pointers.move(root, name, etag, moved)
    except ConflictError as error:
        return str(error)
    return _given_back(root, name, status, pointer.previous)


def _given_back(root: str, name: str, status: Status, champion: Served | None) -> str:
    back = f"to version {champion.version}" if champion else "to no version"
    left = "".join(f"; {text}" for text in versions.project(root, name))
    return f"the pointer went back {back}; version {status.what.version} is rejected{left}"
