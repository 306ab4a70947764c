"""The pointer: which version of a registered model serves. One object in the store, replaced only with `If-Match`.

`STORE/serving/NAME/pointer.json` is the truth; MLflow's alias, a Service's selector and tags are copies of it that
whoever comes next repairs. Each body holds the sha256 of the one before it, and the log beside it keeps every body
(audit.py): the pointer is its own last log entry.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

from components.errors import ConflictError, DamagedError, InputError, UnavailableError
from components.platform import faults, notify
from components.platform.config import parse_config
from components.platform.storage import objects
from components.platform.storage.champion import SCHEMA_VERSION, checked, pointer_uri

What = Literal["promoted", "proposed", "rolled back"]
# Of a move whose condition failed although the pointer is as it was (S3 answers 409 while another write is under way).
TRIES = 5
# What the reason of a change begins with by which a version was taken back that no user had been sent to.
UNSEEN = "deployment failed before the switch"
# The version tag of a pointer that another move has replaced since: no condition on it holds.
SUPERSEDED = '"superseded"'


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Served(_Part):
    """A version that serves or may serve.

    `digest` is the manifest's (every file), `weights` the sha256 over the safetensors alone, which is what a decision
    is about. `decision` is the URI of the gate's decision.json, "" where none is known.
    """

    version: str
    uri: str
    digest: str
    weights: str = ""
    decision: str = ""


class Proposed(Served):
    """A version that waits for a person's sign-off, or with `until` for a time (UTC, ISO 8601)."""

    at: str
    by: str
    why: str
    until: str = ""


class Rejected(_Part):
    """Content that was served or tried and must not be promoted again."""

    digest: str
    why: str
    at: str
    weights: str = ""
    version: str = ""


class Changed(_Part):
    """Who made this state of the pointer, when (UTC), what it was, why, and in which pipeline run."""

    by: str
    at: str
    what: What
    why: str = ""
    run: str = ""


class Pointer(_Part):
    """One state of the pointer; the first has serial 1 and no previous body."""

    schema_version: int = SCHEMA_VERSION
    serial: int
    nonce: str
    champion: Served | None = None
    previous: Served | None = None
    proposed: Proposed | None = None
    rejected: tuple[Rejected, ...] = ()
    changed: Changed
    previous_sha256: str = ""

    # As it was read: a body of this schema with fewer fields must keep its sha256.
    _body: dict[str, Any] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _: Any) -> None:
        self._body = self.model_dump(mode="json")

    @property
    def body(self) -> dict[str, Any]:
        """The JSON value that is stored."""
        return self._body

    @property
    def sha256(self) -> str:
        return body_sha256(self.body)

    def rejection(self, served: Served) -> Rejected | None:
        """Why this content, or other files with its weights, may not be promoted again; None where nothing says so."""
        for entry in self.rejected:
            if entry.digest == served.digest or (entry.weights and entry.weights == served.weights):
                return entry
        return None

    def after(self, changed: Changed, **changes: Any) -> Pointer:
        """The state that follows this one: `changes` are fields of the pointer. Its time is never before this one's."""
        changed = changed.model_copy(update={"at": max(changed.at, self.changed.at)})
        values = {name: getattr(self, name) for name in ("champion", "previous", "proposed", "rejected")}
        return Pointer(
            serial=self.serial + 1,
            nonce=uuid.uuid4().hex,
            changed=changed,
            previous_sha256=self.sha256,
            **{**values, **changes},
        )


def first(changed: Changed, **fields: Any) -> Pointer:
    """The first state of a pointer."""
    return Pointer(serial=1, nonce=uuid.uuid4().hex, changed=changed, **fields)


def rejected(served: Served, why: str) -> Rejected:
    """The entry that keeps a version's content from being promoted again."""
    return Rejected(digest=served.digest, weights=served.weights, version=served.version, why=why, at=now())


def parse(value: Any, where: str) -> Pointer:
    """The pointer of a stored body; raises DamagedError and NewerSchemaError."""
    body = checked(value, where)
    try:
        pointer = parse_config(Pointer, body, where)
    except InputError as error:
        raise DamagedError(f"{error}; restore it from the bucket's versions") from None
    pointer._body = body
    return pointer


def read(root: str, name: str) -> tuple[Pointer, str] | None:
    """The pointer of a registered model and its version tag for `move`; None where there is none yet.

    Raises DamagedError and NewerSchemaError for what is no pointer of ours, UnavailableError without the store.
    """
    where = pointer_uri(root, name)
    value, etag = objects.read_json(where)
    return None if value is None and not etag else (parse(value, where), etag)


def move(root: str, name: str, etag: str | None, pointer: Pointer) -> str:
    """Make `pointer` the state of `name` if it is still the one of `etag` (None: there is none); returns its tag.

    The log is complete up to the new state afterwards. An answer that was lost is resolved by the nonce. Raises
    ConflictError (who, when, what) when another was first, UnavailableError when the store does not answer: the same
    command run again then finds out whether this move was made.
    """
    from components.serving import audit

    audit.complete(root, name)
    where, body = pointer_uri(root, name), pointer.body
    for attempt in range(TRIES):
        lost: UnavailableError | None = None
        try:
            made = objects.create_json(where, body) if etag is None else objects.replace_json(where, body, etag)
        except UnavailableError as error:
            made, lost = False, error
        faults.point("pointer moved")
        found = read(root, name)
        if made or _is_ours(root, name, found, pointer):
            audit.complete(root, name)
            notify.tell(f"{name}: {said(pointer)}")
            return found[1] if found and found[0].nonce == pointer.nonce else SUPERSEDED
        if (found[1] if found else None) != etag:
            raise ConflictError(_conflict(name, found))
        if lost:
            raise lost
        time.sleep(0.1 * 2**attempt)
    raise UnavailableError(f"{where}: the store refuses to replace it although nobody else did; nothing was changed")


def _is_ours(root: str, name: str, found: tuple[Pointer, str] | None, pointer: Pointer) -> bool:
    """Whether the move to `pointer` was made: it is there, or in the log because another move followed it."""
    from components.serving import audit

    if found is None or found[0].serial < pointer.serial:
        return False
    if found[0].serial == pointer.serial:
        return found[0].nonce == pointer.nonce
    entry = audit.entry(root, name, pointer.serial)
    return entry is not None and entry.nonce == pointer.nonce


def _conflict(name: str, found: tuple[Pointer, str] | None) -> str:
    if found is None:
        return f"{name}: its pointer was deleted meanwhile; restore it from the log beside it"
    pointer = found[0]
    return f"{name}: {said(pointer)} meanwhile, so nothing was changed; look at `biomed-r1 models`, then decide again"


def said(pointer: Pointer) -> str:
    """What the last change was, who made it and when, in one clause."""
    changed = pointer.changed
    subject = pointer.proposed if changed.what == "proposed" else pointer.champion
    version = f"version {subject.version}" if subject else "no version"
    to = " to" if changed.what == "rolled back" else ""
    why = f" ({changed.why})" if changed.why else ""
    return f"{changed.by} at {changed.at} {changed.what}{to} {version}{why}, serial {pointer.serial}"


def now(later: timedelta = timedelta()) -> str:
    """This moment, or one so much later, in UTC, ISO 8601 to the second."""
    return (datetime.now(UTC) + later).strftime("%Y-%m-%dT%H:%M:%SZ")


def body_sha256(body: Any) -> str:
    """sha256 over a body as canonical JSON."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
