"""Where a deployment stands: one object a target in the store, `STORE/serving/NAME/deploy/TARGET.json`.

Every step is written before the next begins, so a deployer that is killed goes on where it was, and a pipeline run
that waits for its deployment reads it here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components.errors import ConflictError, DamagedError, NewerSchemaError
from components.platform import faults
from components.platform.config import parse_config
from components.platform.storage import objects
from components.serving.pointer import Served, now

SCHEMA_VERSION = 1
HISTORY = 40

Colour = Literal["blue", "green"]
COLOURS: tuple[Colour, ...] = ("blue", "green")
Strategy = Literal["auto", "surge", "replace"]
State = Literal[
    "verify", "stop", "apply", "wait", "smoke", "switch", "bake", "drain", "accepted",
    "discard", "restore", "failed", "revert", "reverted",
]  # fmt: skip
# The model's own: its files, its answers. The place's: room, images, network; the same version may do later.
Fault = Literal["", "model", "place"]
ENDS: tuple[State, ...] = ("accepted", "failed", "reverted")
# Nothing that users reach has changed in these.
BEFORE_SWITCH: tuple[State, ...] = ("verify", "stop", "apply", "wait", "smoke")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Held(_Part):
    """The weights that a colour holds."""

    colour: Colour
    uri: str
    digest: str = ""
    version: str = ""


class Note(_Part):
    """One step of the past: `state` was entered at `at`, because of `text`."""

    state: State
    at: str
    text: str = ""


class Failure(_Part):
    """The last version that was tried here and not accepted."""

    version: str
    digest: str
    reason: str
    at: str


class Status(_Part):
    """One deployment: which version, to which colour, away from `before`, and how far it is.

    `serial` is the pointer's that asked for it. `reason` says why it failed. `warm` is whether the colour held the
    version already, tested and ready. `warm_until` (UTC) is how long `before` stays ready after `accepted`.
    """

    schema_version: int = SCHEMA_VERSION
    target: str
    serial: int
    what: Served
    colour: Colour
    before: Held | None = None
    strategy: Strategy = "auto"
    state: State = "verify"
    since: str
    by: str = ""
    warm: bool = False
    reason: str = ""
    fault: Fault = ""
    warm_until: str = ""
    last_failure: Failure | None = None
    history: tuple[Note, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in ENDS

    def to(self, state: State, text: str = "", **changes: Any) -> Status:
        """This deployment one step further."""
        at = now()
        history = (*self.history, Note(state=state, at=at, text=text))[-HISTORY:]
        return self.model_copy(update={"state": state, "since": at, "history": history, **changes})


def status_uri(root: str, name: str, target: str) -> str:
    return f"{root.rstrip('/')}/serving/{name}/deploy/{target}.json"


def read(root: str, name: str, target: str) -> tuple[Status | None, str | None]:
    """The status of a target and its version tag for `write`; (None, None) where nothing was deployed there yet."""
    where = status_uri(root, name, target)
    value, etag = objects.read_json(where)
    if value is None and not etag:
        return None, None
    if not isinstance(value, dict) or "state" not in value:
        raise DamagedError(f"{where}: not a deployment's status; delete it, and the next deployment writes it anew")
    if value.get("schema_version", 0) > SCHEMA_VERSION:
        raise NewerSchemaError(f"{where}: schema_version {value['schema_version']}: upgrade biomed-r1 to read it")
    return parse_config(Status, value, where), etag


def write(root: str, name: str, status: Status, etag: str | None) -> str:
    """Store a step if the status is still the one of `etag` (None: there is none); returns its tag.

    Raises ConflictError when another deployer wrote first: the lock was lost, and that one goes on.
    """
    where, body = status_uri(root, name, status.target), status.model_dump(mode="json")
    made = objects.create_json(where, body) if etag is None else objects.replace_json(where, body, etag)
    found, tag = read(root, name, status.target)
    if not made and found != status:
        raise ConflictError(
            f"{where}: another deployer ({found.by if found else 'unknown'}) wrote "
            f"{found.state if found else 'nothing'!r} meanwhile; this one stops"
        )
    faults.point(f"deploy {status.state}")
    return tag or ""
