"""Checkpoints of a training in the store: complete or absent, found again by what they were trained on."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError, StageError, UnavailableError
from components.platform.folders.deletion import remove_file
from components.platform.storage import objects, store
from components.platform.storage.claims import LEASE
from components.platform.storage.parts import Parts
from components.training.saving.lease import Contents, Lease, Published

LOG = logging.getLogger(__name__)
KEEP = 2  # the newest ones: one may turn out to be damaged
_NAME = re.compile(r"checkpoint-(\d+)-(\d+)(?:-\d+)?")
# A pickle of the trainer's arguments: nothing reads it back, so it is not stored.
_UNSAFE = "training_args.bin"


class AbandonedError(Exception):
    """A checkpoint is not stored any more, because nothing would go on from it."""


def resume_key(stage: str, config: Mapping[str, Any], inputs: Sequence[tuple[str, str]]) -> str:
    """What two trainings must share for one to continue the other: stage, recipe part, data and weights digests.

    Code is left out on purpose: a change of code is recorded and warned about, not a reason to start over.
    """
    text = json.dumps([stage, dict(config), [list(pair) for pair in inputs]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Checkpoints:
    """The checkpoints below `uri` (s3://... or a folder) of the training with this `key`.

    Each is a directory `KEY/checkpoint-STEP-ATTEMPT` of its own: no two attempts write the same object, and no name is
    used twice. It counts once the lease lists it (lease.py).
    """

    uri: str
    stage: str
    key: str
    inputs: tuple[tuple[str, str], ...] = ()
    code: str = ""
    keep: int = KEEP
    parts: Parts = store.ALL_HERE  # the nodes of a training on several, each with some of a checkpoint's files
    abandoned: threading.Event = field(default_factory=threading.Event, compare=False)  # set: `put` ends soon
    _lease: Lease | None = field(default=None, init=False, repr=False, compare=False)
    _fetched: str = field(default="", init=False, repr=False, compare=False)
    _damaged: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    _tried: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """Where this training's own checkpoints are."""
        return f"{self.uri.rstrip('/')}/{self.key[:16]}"

    def newest(self, work: Path) -> tuple[Path, int] | None:
        """Take over this training and fetch its newest complete checkpoint into `work`: (folder, step), or None.

        One that is damaged (its manifest is missing, or a file differs from it) or of a newer version of this program
        is passed over with a warning, and the next older one is tried. Raises UnavailableError when the store does not
        answer: a checkpoint that cannot be read now is no reason to start from zero.
        """
        published = self._take().published
        for entry in sorted(published, reverse=True):
            source = f"{self.folder}/{entry.name}"
            try:
                manifest = store.get_dir(source, work / f"checkpoint-{entry.step}")
            except NewerSchemaError as error:
                _warn(f"{error}; passed over")
                continue
            except DamagedError as error:
                self._held().still()  # a newer attempt may have dropped it meanwhile
                self._damaged.add(entry.name)
                _warn(f"{error}; passed over")
                continue
            if self.code and manifest.get("code") not in ("", self.code):
                _warn(f"{source} was written by other code ({manifest['code'][:12]}, now {self.code[:12]}); continuing")
            self._fetched = entry.name
            return work / f"checkpoint-{entry.step}", entry.step
        if not published and (others := self._others()):
            _warn(f"{self.uri}: what is there belongs to another recipe, data set or base model ({', '.join(others)})")
        return None

    def fetch(self, work: Path) -> int:
        """`newest` on each node's own disk: the step, 0 for none. The first node takes over; all of them call this."""
        found = self.parts.first(lambda: self.newest(work))
        if found is None:
            return 0
        step, name = found[1], self.parts.first(lambda: self._fetched)
        mine = work / f"checkpoint-{step}"
        self.parts.each(lambda: store.get_dir(f"{self.folder}/{name}", mine) if self.parts.number else None)
        return step

    def fetch_step(self, step: int, work: Path) -> None:
        """The published checkpoint of this step, as `checkpoint-STEP` in `work`, on each node's own disk.

        Raises StageError where there is none; all nodes call this.
        """
        name = self.parts.first(lambda: self._published_at(step))
        self.parts.each(lambda: store.get_dir(f"{self.folder}/{name}", work / f"checkpoint-{step}"))

    def _published_at(self, step: int) -> str:
        names = [entry.name for entry in self._held().change(lambda found: found).published if entry.step == step]
        if not names:
            raise StageError(
                f"{self.folder}: the checkpoint of step {step} could not be stored and cannot be handed on; the same "
                "command with hand_on=last goes on from the newest one"
            )
        return max(names)

    def put(self, folder: Path, step: int, best: int | None = None) -> None:
        """Store a checkpoint, manifest last, publish it, then delete what is neither among the newest nor `best`.

        `best` is the step of the best checkpoint so far, if somebody compares them. Raises OvertakenError when a newer
        attempt of this training has started, AbandonedError once `abandoned` is set, UnavailableError when the store
        does not answer: what was published before is there all the same. All nodes call it, each with the folder on
        its own disk.
        """
        remove_file(folder / _UNSAFE)
        name = self.parts.first(lambda: self._name(step))
        store.put_dir(
            folder,
            f"{self.folder}/{name}",
            stage=self.stage,
            key=self.key,
            inputs=self.inputs,
            code=self.code,
            parts=self.parts,
            before_each=self._go_on,
        )
        self.parts.first(lambda: self._publish(Published(step, name), best))

    def _go_on(self) -> None:
        if self.abandoned.is_set():
            raise AbandonedError

    def _name(self, step: int) -> str:
        """What the directory of a checkpoint is to be called."""
        lease = self._held()
        lease.still()  # an overtaken attempt uploads nothing
        name = f"checkpoint-{step}-{lease.attempt}"
        self._tried[name] += 1
        # What a broken upload left must not mix with the new files.
        return name if (tried := self._tried[name]) == 1 else f"{name}-{tried}"

    def _publish(self, entry: Published, best: int | None) -> None:
        contents = self._held().change(lambda found: self._with(found, entry, best))
        self._delete_all_but(contents)

    def _with(self, found: Contents, entry: Published, best: int | None) -> Contents:
        """What is published once `entry` is: the newest, the best, and what a newer version of this program wrote."""
        best = found.best if best is None else best
        others = [one for one in found.published if one.name not in self._damaged and one.name != entry.name]
        foreign = [one for one in others if self._not_ours(one)]
        sound = [one for one in others if one not in foreign]
        newest = sorted([*sound, entry], reverse=True)[: self.keep]
        kept = [one for one in sound if one in newest or one.step == best or one.step > entry.step]
        return found.listing([*foreign, *kept, entry], best)

    def _not_ours(self, entry: Published) -> bool:
        """Whether a checkpoint cannot be judged: of a newer version of this program, or not readable now."""
        try:
            store.read_manifest(f"{self.folder}/{entry.name}")
        except DamagedError:
            return False
        except (NewerSchemaError, UnavailableError):
            return True
        return False

    def _delete_all_but(self, contents: Contents) -> None:
        """Delete directories that do not count; what fails is left to the next time.

        Only those that nobody can count any more: not above the latest step, and not of a newer attempt.
        """
        listed = {one.name for one in contents.published}
        try:
            for entry, attempt in self._found():
                dropped = entry.step <= contents.highest and attempt <= contents.attempt and entry.name not in listed
                if dropped and not self._not_ours(entry):
                    store.delete_prefix(f"{self.folder}/{entry.name}")
        except (UnavailableError, InputError) as error:
            _warn(f"{error}; old checkpoints are deleted after the next one")

    def _held(self) -> Lease:
        if self._lease is None:
            self._take()
        assert self._lease is not None
        return self._lease

    def _take(self) -> Contents:
        """Take the lease, and count complete checkpoints that are newer than all it ever listed.

        Such a one's attempt died between its manifest and the lease.
        """
        lease = Lease(self.folder, self.key)
        contents = lease.take(lambda: self._complete(-1))
        self._lease = lease
        if found := self._complete(contents.highest):
            contents = lease.change(lambda now: now.listing([*now.published, *found], now.best))
        return contents

    def _complete(self, after: int) -> list[Published]:
        """Directories of later steps than `after` that have a sound manifest; those of one step only once."""
        complete = {}
        for entry, _ in sorted(self._found()):
            try:
                if entry.step > after and store.read_manifest(f"{self.folder}/{entry.name}") is not None:
                    complete[entry.step] = entry
            except (DamagedError, NewerSchemaError) as error:
                _warn(f"{error}; passed over")
        return list(complete.values())

    def _found(self) -> list[tuple[Published, int]]:
        """Every directory of a checkpoint, whether it counts or not, with its attempt."""
        found = ((_NAME.fullmatch(name), name) for name in store.list_children(self.folder))
        return [(Published(int(match[1]), name), int(match[2])) for match, name in found if match]

    def _others(self) -> list[str]:
        """Folders of other trainings below the same address."""
        names = [name for name in store.list_children(self.uri) if name != self.key[:16]]
        return [name for name in names if LEASE in store.list_children(f"{self.uri}/{name}")]


def forget(uri: str) -> None:
    """Delete the checkpoints of all trainings below `uri`, each with its lease last: their result is stored."""
    for key in store.list_children(uri):
        names = store.list_children(f"{uri}/{key}")
        for name in names:
            if _NAME.fullmatch(name):
                store.delete_prefix(f"{uri}/{key}/{name}")
        if LEASE in names:
            objects.delete(f"{uri}/{key}/{LEASE}")


def _warn(text: str) -> None:
    LOG.warning("checkpoints: %s", text)
