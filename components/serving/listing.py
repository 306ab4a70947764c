"""What there is to promote: versions with scores, gate and age, what the pointer says of each, and who served when."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.errors import DamagedError, InputError, ReadableError, UnavailableError
from components.platform.storage import store
from components.platform.tracking import registry
from components.serving import audit, decisions, versions
from components.serving.files import verified
from components.serving.pointer import Pointer, read

_READERS = 8


@dataclass
class Listing:
    """The versions of a registered model, newest first, and everything that is wrong with them or with the log."""

    name: str
    pointer: Pointer | None
    rows: list[dict[str, Any]]
    log_entries: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    unanswered: str = ""

    def record(self) -> dict[str, Any]:
        """The listing as a JSON object."""
        return {
            "name": self.name,
            "pointer": self.pointer.body if self.pointer else None,
            "versions": self.rows,
            "log_entries": self.log_entries,
            "problems": self.problems,
            "repaired": self.repaired,
            "unanswered": self.unanswered,
        }


def listing(root: str, name: str, verify: bool = False) -> Listing:
    """Every version of a registered model; walks the log, and repairs the alias and a log entry that is missing.

    With `verify` each file of each version is read and compared. `unanswered` says why the registry could not be asked;
    the pointer and its log are there without it. Raises UnavailableError when the store does not answer.
    """
    problems: list[str] = []
    repaired: list[str] = []
    found = read(root, name)
    states: list[Pointer] = []
    try:
        states = audit.walk(root, name)
        if audit.complete(root, name):
            repaired.append("the log's last entry was missing and is written")
    except DamagedError as error:
        problems.append(str(error))
    pointer = found[0] if found else None
    result = Listing(name, pointer, [], len(states), problems, repaired)
    try:
        named = _aliases(root, name, result)
        versions_there = registry.versions(name)
    except (InputError, UnavailableError) as error:
        result.unanswered = str(error)
        return result
    with ThreadPoolExecutor(_READERS) as pool:
        result.rows = list(pool.map(lambda version: _row(version, pointer, named, verify), versions_there))
    problems += [f"version {row['version']}: {row['problem']}" for row in result.rows if row["problem"]]
    return result


def _aliases(root: str, name: str, result: Listing) -> dict[str, str]:
    """The registry's aliases, `champion` set right where it said something else than the pointer."""
    named = registry.aliases(name)
    champion = result.pointer.champion if result.pointer else None
    if champion is None or named.get(registry.CHAMPION) == champion.version:
        return named
    said = named.get(registry.CHAMPION)
    if failed := versions.project(root, name):
        result.problems += failed
        return named
    was = f"version {said}" if said else "no version"
    result.repaired.append(f"MLflow's alias champion said {was} and now says {champion.version}")
    return registry.aliases(name)


def show(root: str, name: str, version: str, verify: bool = False) -> dict[str, Any]:
    """One version: its row, tags, what it was made from, the gate's reasons, and its part of the pointer's log."""
    found = registry.look_up(name, version=version)
    if found is None:
        raise InputError(f"{name} version {version}: not registered; `biomed-r1 models` lists the versions")
    current = read(root, name)
    row = _row(found, current[0] if current else None, registry.aliases(name), verify)
    decision = found.tags.get(decisions.TAG)
    return {
        **row,
        "tags": dict(sorted(found.tags.items())),
        "lineage": [] if row["problem"] else lineage(row["uri"]),
        "reasons": decisions.read(decision)["reasons"] if decision else [],
        "history": [state.changed.model_dump() for state in audit.walk(root, name) if _concerns(state, version)],
    }


def lineage(uri: str) -> list[dict[str, Any]]:
    """The model and the stored models it was made from, nearest first: stage, address, time, code and other inputs."""
    found: list[dict[str, Any]] = []
    todo = [uri]
    while todo:
        here = todo.pop(0)
        manifest = store.read_manifest(here)
        if manifest is None or here in [step["uri"] for step in found]:
            continue
        inputs = [(str(name), str(digest)) for name, digest in manifest["inputs"]]
        found.append(
            {
                "uri": here,
                "stage": manifest["stage"],
                "created": manifest["created"],
                "git_revision": manifest["git_revision"],
                "inputs": [{"name": name, "digest": digest} for name, digest in inputs],
            }
        )
        todo += [name for name, _ in inputs if "://" in name]
    return found


def at(root: str, name: str, moment: datetime) -> dict[str, Any]:
    """Which version served at a moment, since when and by whom, and until when; from the log, which is checked.

    `tried` is the version that was promoted then and that no user was sent to.
    """
    states = audit.walk(root, name)
    served, since = audit.served_at(states, moment)
    champions = zip(states, audit.champions(states), strict=True)
    later = [state for state, other in champions if since and state.serial > since.serial and other != served]
    named = [state.champion for state in states if datetime.fromisoformat(state.changed.at) <= moment]
    return {
        "name": name,
        "at": moment.isoformat(),
        "served": served.model_dump() if served else None,
        "tried": named[-1].version if named and named[-1] and named[-1] != served else None,
        "since": since.changed.model_dump() if served and since else None,
        "until": later[0].changed.model_dump() if served and later else None,
    }


def _row(version: Any, pointer: Pointer | None, aliases: Mapping[str, str], verify: bool) -> dict[str, Any]:
    number, uri = str(version.version), str(version.source)
    row: dict[str, Any] = {
        "version": number,
        "uri": uri,
        "created": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        "gate": version.tags.get("gate.decision", ""),
        "baseline": version.tags.get("gate.baseline", ""),
        "look": version.tags.get("gate.look", ""),
        "scores": {k.removeprefix("score."): float(v) for k, v in version.tags.items() if k.startswith("score.")},
        "aliases": sorted(alias for alias, named in aliases.items() if named == number),
        "bytes": None,
        "digest": "",
        "roles": [],
        "rejected": "",
        "problem": "",
    }
    try:
        manifest = verified(uri) if verify else store.read_manifest(uri)
        candidate = versions.from_registry(version, manifest)
    except ReadableError as error:
        row["problem"] = str(error)
        return row
    row["bytes"] = sum(int(file["size"]) for file in (manifest or {})["files"])
    row["digest"] = candidate.digest
    if pointer:
        parts = {"champion": pointer.champion, "previous": pointer.previous, "proposed": pointer.proposed}
        row["roles"] = [role for role, part in parts.items() if part and part.version == number]
        if entry := pointer.rejection(candidate):
            row["rejected"] = f"{entry.at}: {entry.why}"
    return row


def _concerns(state: Pointer, version: str) -> bool:
    subject = state.proposed if state.changed.what == "proposed" else state.champion
    return (subject is not None and subject.version == version) or any(r.version == version for r in state.rejected)
