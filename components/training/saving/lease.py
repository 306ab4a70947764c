"""Which attempt of a training may change its checkpoints, and which of them count: one object in the store.

Two processes can work on one training at once: a pod that was declared lost goes on, and its successor has started.
Whoever starts takes the next attempt number (`If-None-Match` the first time, `If-Match` after that). A change is
written only over the version that was read, so that an older attempt can neither publish nor drop anything, at
whatever moment it was overtaken. Files of a checkpoint are deleted only after it was dropped here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.errors import DamagedError, NewerSchemaError, StageError, UnavailableError
from components.platform.storage import objects
from components.platform.storage.claims import LEASE

SCHEMA_VERSION = 1


class OvertakenError(StageError):
    """A newer attempt of the same training has taken over: this one can change nothing any more and stops."""


@dataclass(frozen=True, order=True)
class Published:
    """A checkpoint that counts: its step and the name of its directory."""

    step: int
    name: str


@dataclass(frozen=True)
class Contents:
    """What the object says: the attempt that may change it, the checkpoints by step, and the best one's step.

    `highest` is the latest step that was ever published (-1: none). What is not listed and not above it was dropped.
    """

    attempt: int
    holder: str
    published: tuple[Published, ...]
    highest: int = -1
    best: int | None = None

    def listing(self, published: Sequence[Published], best: int | None = None) -> Contents:
        """The same object with these checkpoints."""
        highest = max([self.highest, *(one.step for one in published)])
        return replace(self, published=tuple(sorted(published)), highest=highest, best=best)


@dataclass
class Lease:
    """The object of the training with this `key` below `uri`; `attempt` is 0 until it is taken."""

    uri: str
    key: str
    attempt: int = 0
    # Tells this process from another that took the same number at the same time: one of the two writes fails.
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def object(self) -> str:
        return f"{self.uri}/{LEASE}"

    def take(self, first: Callable[[], Sequence[Published]]) -> Contents:
        """Become the newest attempt; returns what is published, which from now on only this attempt changes.

        `first` gives what was published before there was an object. Raises NewerSchemaError, DamagedError,
        UnavailableError.
        """
        while True:
            found, etag = self._read()
            if found is not None and found.holder == self.holder:  # written, although the answer was lost
                self.attempt = found.attempt
                return found
            before = Contents(0, "", ()).listing(first()) if found is None else found
            wanted = replace(before, attempt=before.attempt + 1, holder=self.holder)
            if self._write(wanted, etag):
                self.attempt = wanted.attempt
                return wanted

    def change(self, to: Callable[[Contents], Contents]) -> Contents:
        """Replace what is published by `to(what is published now)`; returns it.

        Raises OvertakenError when a newer attempt has taken over, UnavailableError when the store does not answer.
        """
        while True:
            found, etag = self._read()
            if found is None or (found.attempt, found.holder) != (self.attempt, self.holder):
                if found is None:
                    raise OvertakenError(
                        f"{self.object}: gone: the same training was finished by another attempt; this one stops"
                    )
                raise OvertakenError(
                    f"{self.object}: held by attempt {found.attempt}, this is attempt {self.attempt}: the same "
                    "training was started again, and that one goes on from the last checkpoint; this one stops"
                )
            wanted = to(found)
            if wanted == found or self._write(wanted, etag):
                return wanted

    def still(self) -> None:
        """Raise as `change` does; changes nothing."""
        self.change(lambda found: found)

    def _read(self) -> tuple[Contents | None, str]:
        value, etag = objects.read_json(self.object)
        return (None if value is None else self._contents(value)), etag

    def _contents(self, value: Any) -> Contents:
        if isinstance(value, dict) and isinstance(value.get("schema_version"), int):
            if value["schema_version"] > SCHEMA_VERSION:
                raise NewerSchemaError(f"{self.object}: schema_version {value['schema_version']}: upgrade biomed-r1")
            try:
                published = tuple(sorted(Published(int(e["step"]), str(e["name"])) for e in value["published"]))
                attempt, holder = int(value["attempt"]), str(value["holder"])
                return Contents(attempt, holder, published, int(value["highest"]), value["best"])
            except (KeyError, TypeError, ValueError):
                pass
        raise DamagedError(
            f"{self.object}: not the record of a training's checkpoints; restore it from the bucket's versions, or "
            "delete it: complete checkpoints beside it are then found by their manifests"
        )

    def _write(self, contents: Contents, etag: str) -> bool:
        value = {
            "schema_version": SCHEMA_VERSION,
            "key": self.key,
            "attempt": contents.attempt,
            "holder": contents.holder,
            "published": [{"step": one.step, "name": one.name} for one in contents.published],
            "highest": contents.highest,
            "best": contents.best,
        }
        try:
            return objects.replace_json(self.object, value, etag) if etag else objects.create_json(self.object, value)
        except UnavailableError:
            # Written or not: reading it back says which.
            found, _ = self._read()
            if found == contents:
                return True
            raise
