"""The ledger of gate decisions: one object a decision in the store, reserved before any answer is compared.

How often a baseline was already challenged on the same questions decides how strict the next decision must be, so
nothing that a run or a person can change may lower that number: entries are created (`If-None-Match: *`), never
replaced or deleted. MLflow's tags are a copy for people.

It lives here and not in scoring because scoring is pure; the schedules that turn a look into a level are in
scoring/gate.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform.storage import objects

SCHEMA_VERSION = 1
_ENTRY = re.compile(r"(\d{6})\.json")


@dataclass(frozen=True)
class Challenge:
    """One decision to be made: which candidate, from which answers, against which baseline, on which questions.

    `baseline` and `candidate` are sha256 of weights (or the name of a model behind an endpoint), `questions` is
    `questions_digest` of the questions decided on, `answers` a digest of both sides' answer texts. `terms` are the
    alpha, margin and schedule that the level follows from; `name` is the registered model's.
    """

    name: str
    baseline: str
    candidate: str
    questions: str
    answers: str
    terms: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What shares one count of looks.

        The registered name is recorded and no part of it: another name would be a way to start again from one.
        """
        return hashlib.sha256(json.dumps([self.baseline, self.questions]).encode()).hexdigest()[:40]


def reserve(root: str, challenge: Challenge, run: str = "") -> int:
    """The number of this decision (a look, from 1) against its baseline on its questions.

    The same candidate with the same answers has the place it already has. Safe under any number of writers at once.
    Raises InputError when earlier decisions of this key were made under other terms.
    """
    folder = f"{root}/ledger/{challenge.key}"
    while True:
        entries = read(folder)
        for look, entry in sorted(entries.items()):
            _same_terms(folder, look, entry, challenge)
            if entry["candidate"] == challenge.candidate and entry["answers"] == challenge.answers:
                return look
        look = max(entries, default=0) + 1
        entry = {
            "schema_version": SCHEMA_VERSION,
            "look": look,
            **{**asdict(challenge), "terms": dict(challenge.terms)},
            "run": run,
            "reserved": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "nonce": uuid.uuid4().hex,  # tells our own write from another's equal one
        }
        objects.create_json(f"{folder}/{look:06}.json", entry)  # taken by another: look again


def read(folder: str) -> dict[int, dict[str, Any]]:
    """The entries of one key, by look; raises DamagedError where one is missing or cannot be read."""
    found: dict[int, dict[str, Any]] = {}
    for name in objects.list_children(folder):
        if not (match := _ENTRY.fullmatch(name)):
            continue
        entry = objects.get_json(f"{folder}/{name}")
        if not isinstance(entry, dict) or entry.get("look") != int(match[1]):
            raise DamagedError(f"{folder}/{name}: not an entry of the ledger; restore it from the bucket's versions")
        if entry.get("schema_version", 0) > SCHEMA_VERSION:
            raise NewerSchemaError(f"{folder}/{name}: schema_version {entry['schema_version']}: upgrade biomed-r1")
        found[int(match[1])] = entry
    if missing := sorted(set(range(1, len(found) + 1)) - set(found)):
        raise DamagedError(
            f"{folder}: decision {missing[0]} is missing: the ledger only grows; restore it from the bucket's versions"
        )
    return found


def seal_number(root: str) -> int:
    """Which draw of sealed questions is in force: how often it was rotated."""
    return len(_rotations(root))


def rotate_seal(root: str, reason: str, by: str) -> int:
    """Seal another draw of the questions from now on; returns its number. Logged, and never undone.

    Decisions on the new draw have a count of looks of their own.
    """
    if not reason.strip():
        raise InputError("seal: --reason: say why; the rotation is logged with it")
    while True:
        number = len(_rotations(root)) + 1
        entry = {
            "schema_version": SCHEMA_VERSION,
            "number": number,
            "reason": reason,
            "by": by,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "nonce": uuid.uuid4().hex,
        }
        if objects.create_json(f"{root}/seal/{number:06}.json", entry):
            return number


def _rotations(root: str) -> list[str]:
    return [name for name in objects.list_children(f"{root}/seal") if _ENTRY.fullmatch(name)]


def _same_terms(folder: str, look: int, entry: Mapping[str, Any], challenge: Challenge) -> None:
    changed = {
        name: (entry["terms"].get(name), value)
        for name, value in challenge.terms.items()
        if entry["terms"].get(name) != value
    }
    if changed:
        words = ", ".join(f"{name} {old} (now {new})" for name, (old, new) in changed.items())
        raise InputError(
            f"{folder}/{look:06}.json: decisions against this baseline on these questions are made under {words}; "
            "keep these values, or rotate the seal (`biomed-r1 seal rotate --reason ...`) to start another count"
        )
