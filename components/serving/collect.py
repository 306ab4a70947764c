"""What may be deleted from a store: nothing that serves, is registered, was used of late, or led to one of these.

Roots are the pointers, the registered versions, the receipts of recent and of running runs, and whatever was written
of late. From each the inputs that its manifest names are followed. The rest is older than the given age and nobody's.
Records (receipts, plans, ledger, seal, serving, leases of trainings) are small and stay.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform import faults
from components.platform.execution import CHECKPOINTS, EVIDENCE
from components.platform.storage import objects, store
from components.platform.storage.claims import LEASE
from components.platform.storage.journal import forget
from components.platform.tracking import registry
from components.platform.tracking.runs import running
from components.serving.pointer import read

# The directories of a store that can go, each whole; the name in front is the kind that a list shows.
_KINDS = (
    re.compile(r"(?P<kind>artifacts/[\w-]+)/[^/]+"),
    re.compile(r"(?P<kind>checkpoints/[\w-]+?)(-\w+)?/[^/]+/[^/]+/checkpoint-[\d-]+(?=/)"),
    re.compile(r"(?P<kind>checkpoints/[\w-]+?)(-\w+)?/[^/]+"),
    re.compile(r"(?P<kind>inputs)/[^/]+"),
    re.compile(r"(?P<kind>doctor)/[^/]+"),
)
_RECEIPT = re.compile(r"runs/([^/]+)/receipts/[^/]+\.json")
_READERS = 8
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Directory:
    """One directory: its path below the store's root, its kind, bytes, newest file, and manifest where it has one."""

    path: str
    kind: str
    size: int = 0
    files: int = 0
    newest: datetime = _NEVER
    manifest: dict[str, Any] | None = None
    why: str = ""

    def add(self, file: objects.Listed) -> None:
        self.size += file.size
        self.files += 1
        self.newest = max(self.newest, file.modified)


@dataclass
class Plan:
    """What would be deleted, what is kept, and the receipts that were there when this was found."""

    root: str
    cutoff: datetime
    doomed: list[Directory] = field(default_factory=list)
    kept: list[Directory] = field(default_factory=list)
    receipts: frozenset[str] = frozenset()

    def totals(self) -> list[dict[str, Any]]:
        """Bytes and directories by kind, of what would go and what stays."""
        rows: defaultdict[str, dict[str, Any]] = defaultdict(
            lambda: {"delete": 0, "delete_bytes": 0, "keep": 0, "keep_bytes": 0}
        )
        for word, group in (("delete", self.doomed), ("keep", self.kept)):
            for directory in group:
                rows[directory.kind][word] += 1
                rows[directory.kind][f"{word}_bytes"] += directory.size
        return [{"kind": kind, **rows[kind]} for kind in sorted(rows)]


def plan(root: str, older_than: timedelta) -> Plan:
    """What nobody needs and was last written longer ago than `older_than`, and checkpoints of finished trainings.

    Raises UnavailableError when registry or store do not answer (what is not known to be unused is not deleted), and
    DamagedError for a pointer that cannot be read.
    """
    if older_than < timedelta(days=1):
        raise InputError("gc: --older-than: at least 1d: what a run is writing now has no receipt yet")
    root = root.rstrip("/")
    listed = objects.describe_files(root)
    directories = _directories(listed)
    cutoff = datetime.now(UTC) - older_than
    with ThreadPoolExecutor(_READERS) as pool:
        for directory, manifest in zip(
            directories.values(), pool.map(lambda d: _manifest(root, d), directories.values()), strict=True
        ):
            directory.manifest = manifest
    receipts = {file.path: file.modified for file in listed if _RECEIPT.fullmatch(file.path)}
    needed = _closure(root, directories, _roots(root, directories, receipts, cutoff))
    finished = _finished(root, directories)
    found = Plan(root, cutoff, receipts=frozenset(receipts))
    for directory in directories.values():
        if directory.newest < finished.get(str(PurePosixPath(directory.path).parents[1]), _NEVER):
            directory.why = "its training has ended well"
        elif directory.path in needed or directory.newest >= cutoff:
            found.kept.append(directory)
            continue
        else:
            directory.why = "nobody needs it" if directory.manifest else "never finished"
        found.doomed.append(directory)
    return found


def delete(found: Plan, older_than: timedelta) -> list[Directory]:
    """Delete what the plan says, each directory's manifest first; returns what was deleted.

    One that was written since, or that a run has begun to use, stays.
    """
    gone = []
    current = found
    for directory in found.doomed:
        if _receipts(found.root) != current.receipts:
            current = plan(found.root, older_than)
        if directory.path not in {other.path for other in current.doomed}:
            continue
        if _delete(f"{found.root}/{directory.path}", directory.newest):
            gone.append(directory)
    return gone


def _delete(uri: str, newest: datetime) -> bool:
    """The one place of this module that deletes; returns whether the directory was as old as it looked."""
    if any(file.modified > newest for file in objects.describe_files(uri)):
        return False
    store.delete_prefix(uri)
    forget(uri)  # parts of unfinished answers have no manifest
    faults.point("directory deleted")
    return True


def _directories(listed: Iterable[objects.Listed]) -> dict[str, Directory]:
    directories: dict[str, Directory] = {}
    for file in listed:
        match = next((found for kind in _KINDS if (found := kind.match(f"{file.path}"))), None)
        if match is None or match.end() == len(file.path) or file.path.endswith(f"/{LEASE}"):
            continue  # a record, or a file where directories are
        directories.setdefault(match[0], Directory(match[0], match["kind"])).add(file)
    return directories


def _manifest(root: str, directory: Directory) -> dict[str, Any] | None:
    try:
        return store.read_manifest(f"{root}/{directory.path}")
    except DamagedError:
        return None
    except NewerSchemaError as error:
        raise InputError(f"gc: {error}; nothing was deleted") from None


def _roots(
    root: str, directories: Mapping[str, Directory], receipts: Mapping[str, datetime], cutoff: datetime
) -> set[str]:
    """Paths of directories that are needed as such."""
    uris = {str(version.source) for name in registry.names() for version in registry.versions(name)}
    if not any(uri.startswith(f"{root}/") for uri in uris) and any(
        directory.kind == "artifacts/register" and directory.manifest for directory in directories.values()
    ):
        raise InputError(
            f"gc: versions were registered from {root}, and the registry that MLFLOW_TRACKING_URI names has none: is "
            "it this store's? Nothing was deleted"
        )
    for name in objects.list_children(f"{root}/serving"):
        if found := read(root, name):
            uris |= {part.uri for part in (found[0].champion, found[0].previous, found[0].proposed) if part}
    active = running()
    uris |= {uri for made in active.values() for uri in made}
    recent = {path for path, modified in receipts.items() if modified >= cutoff or path.split("/")[1] in active}
    with ThreadPoolExecutor(_READERS) as pool:
        for receipt in pool.map(lambda path: objects.get_json(f"{root}/{path}") or {}, sorted(recent)):
            uris.add(str(receipt.get("uri", "")))
    roots = {uri.removeprefix(f"{root}/").rstrip("/") for uri in uris if uri.startswith(f"{root}/")}
    roots |= {path for path, directory in directories.items() if directory.newest >= cutoff}
    # A version's registration leads to its decision, and that to the answers it was made on.
    registered = {path: d.manifest for path, d in directories.items() if d.kind == "artifacts/register" and d.manifest}
    roots |= {path for path, manifest in registered.items() if {name for name, _ in manifest["inputs"]} & uris}
    return roots | _planned(root, directories)


def _planned(root: str, directories: Mapping[str, Directory]) -> set[str]:
    """Staged models and questions that a stored plan names: the next run of a schedule takes them."""
    staged = {path for path, directory in directories.items() if directory.kind == "inputs"}
    names = objects.list_children(f"{root}/plans") if staged else []
    with ThreadPoolExecutor(_READERS) as pool:
        texts = list(pool.map(lambda name: str(objects.get_json(f"{root}/plans/{name}")), names))
    return {path for path in staged if any(f"{root}/{path}" in text for text in texts)}


def _closure(root: str, directories: Mapping[str, Directory], roots: Iterable[str]) -> set[str]:
    """The roots and everything that led to them, by the inputs of their manifests."""
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for path, directory in directories.items():
        if directory.manifest:
            holders[store.manifest_digest(directory.manifest)].add(path)
            for file in directory.manifest["files"]:
                holders[str(file["sha256"])].add(path)
    needed: set[str] = set()
    todo = [path for path in roots if path in directories]
    while todo:
        path = todo.pop()
        if path in needed:
            continue
        needed.add(path)
        for name, digest in (directories[path].manifest or {}).get("inputs", []):
            if (below := str(name).removeprefix(f"{root}/")) in directories:
                todo.append(below)
            todo += holders[str(digest)]
    return needed


def _finished(root: str, directories: Mapping[str, Directory]) -> dict[str, datetime]:
    """Where the checkpoints of trainings are whose result is stored, and since when; later ones are another's."""
    trained = [d for d in directories.values() if d.kind in ("artifacts/sft", "artifacts/grpo") and d.manifest]
    with ThreadPoolExecutor(_READERS) as pool:
        evidence = list(pool.map(lambda d: objects.get_json(f"{root}/{d.path}/{EVIDENCE}") or {}, trained))
    return {
        str(found[CHECKPOINTS]).removeprefix(f"{root}/"): directory.newest
        for directory, found in zip(trained, evidence, strict=True)
        if found.get(CHECKPOINTS)
    }


def _receipts(root: str) -> frozenset[str]:
    paths = (f"runs/{path}" for path in objects.list_files(f"{root}/runs"))
    return frozenset(path for path in paths if _RECEIPT.fullmatch(path))
