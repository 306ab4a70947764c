"""The ledger of gate decisions: one object a decision in the store, reserved before any answer is compared.

How often a baseline was already challenged on the same questions decides how strict the next decision must be, so
nothing that a run or a person can change may lower that number: entries are created (`If-None-Match: *`), never
replaced or deleted. MLflow's tags are a copy for people.

All decisions of a store stand in one sequence. The look of one is the number of earlier ones that it shares a count
with: the same baseline, the same draw of the seal, and a common question. So a question less, one more, or a comma in
one of them does not start again from one.

It lives here and not in scoring because scoring is pure; the schedules that turn a look into a level are in
scoring/gate/rules.py.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform.storage import objects

SCHEMA_VERSION = 2
UNKNOWN = "unknown"  # the weights of a baseline whose answers do not record any
_ENTRY = re.compile(r"(\d{6})\.json")


@dataclass(frozen=True)
class Challenge:
    """One decision to be made: which candidate, from which answers, against which baseline, on which questions.

    `baseline` and `candidate` are sha256 of weights; a baseline without (an endpoint's) is UNKNOWN, a candidate without
    has its name. `baseline_answers` is a digest of the baseline's outputs, `questions` are the marks of the questions
    decided on (`question_marks`), `answers` is a digest of all that the decision follows from: outputs, keys, strata,
    groups. `terms` are the settings of the gate's rules, `draw` the sealed questions' number (0 where none are sealed);
    `name` is the registered model's, which is recorded and counts for nothing.
    """

    name: str
    baseline: str
    baseline_answers: str
    candidate: str
    questions: tuple[str, ...]
    answers: str
    terms: Mapping[str, Any]
    draw: int = 0

    def counts_with(self, entry: Mapping[str, Any]) -> bool:
        """Whether an earlier decision shares this one's count of looks.

        Baselines without weights are one: their name is anybody's choice.
        """
        same = entry["baseline"] == self.baseline or entry["baseline_answers"] == self.baseline_answers
        return same and entry["draw"] == self.draw and not set(self.questions).isdisjoint(entry["questions"])


@dataclass(frozen=True)
class Place:
    """A reserved decision: its number in the ledger, and its look, from 1."""

    serial: int
    look: int


def reserve(root: str, challenge: Challenge, run: str = "") -> Place:
    """The place of this decision; its look is its number against its baseline on its questions.

    The same candidate with the same answers has the place it already has. Safe under any number of writers at once.
    Raises InputError when earlier decisions of this count were made under other terms.
    """
    folder = f"{root}/ledger"
    while True:
        entries = read(root)
        shared = {serial: entry for serial, entry in entries.items() if challenge.counts_with(entry)}
        for serial, entry in sorted(shared.items()):
            _same_terms(f"{folder}/{serial:06}.json", entry, challenge)
            if entry["candidate"] == challenge.candidate and entry["answers"] == challenge.answers:
                return Place(serial, int(entry["look"]))
        serial = max(entries, default=0) + 1
        entry = {
            "schema_version": SCHEMA_VERSION,
            "serial": serial,
            # Sets that do not overlap count apart; one that overlaps two of them comes after both.
            "look": max(len(shared), *(int(entry["look"]) for entry in shared.values()), 0) + 1,
            **{**asdict(challenge), "questions": list(challenge.questions), "terms": dict(challenge.terms)},
            "run": run,
            "reserved": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "nonce": uuid.uuid4().hex,  # tells our own write from another's equal one
        }
        objects.create_json(f"{folder}/{serial:06}.json", entry)  # taken by another: look again


def read(root: str) -> dict[int, dict[str, Any]]:
    """All entries by serial number; raises DamagedError where one is missing or cannot be read."""
    folder = f"{root}/ledger"
    found: dict[int, dict[str, Any]] = {}
    for name in objects.list_children(folder):
        if not (match := _ENTRY.fullmatch(name)):
            continue
        entry = objects.get_json(f"{folder}/{name}")
        if not isinstance(entry, dict) or entry.get("serial") != int(match[1]):
            raise DamagedError(f"{folder}/{name}: not an entry of the ledger; restore it from the bucket's versions")
        if entry.get("schema_version", 0) > SCHEMA_VERSION:
            raise NewerSchemaError(f"{folder}/{name}: schema_version {entry['schema_version']}: upgrade biomed-r1")
        found[int(match[1])] = entry
    if missing := sorted(set(range(1, len(found) + 1)) - set(found)):
        raise DamagedError(
            f"{folder}: decision {missing[0]} is missing: the ledger only grows; restore it from the bucket's versions"
        )
    return found


def holds(root: str, baseline: str, candidate: str, look: int, rules: Mapping[str, Any]) -> bool:
    """Whether a decision with these weights, this look and these settings of the rules was reserved here."""
    return any(
        (entry["baseline"], entry["candidate"], entry["look"]) == (baseline, candidate, look)
        and all(rules.get(name) == value for name, value in entry["terms"].items() if name in rules)
        for entry in read(root).values()
    )


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


def _same_terms(uri: str, entry: Mapping[str, Any], challenge: Challenge) -> None:
    changed = {
        name: (entry["terms"].get(name), value)
        for name, value in challenge.terms.items()
        if entry["terms"].get(name) != value
    }
    if changed:
        words = ", ".join(f"{name} {old} (now {new})" for name, (old, new) in changed.items())
        raise InputError(
            f"{uri}: decisions against this baseline on these questions are made under {words}; keep these values, or "
            "seal another draw of the questions (`biomed-r1 seal --rotate --reason ...`) to start another count"
        )
