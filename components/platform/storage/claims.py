"""A place for checkpoints that a person names (`--checkpoints`): ours, or empty, or refused before any work."""

from __future__ import annotations

import re
from pathlib import Path

from components.errors import InputError
from components.platform.folders.marks import MARK, mark_of
from components.platform.storage import store

# Beside the checkpoints of a training, in a folder named after its key: which of them count (training/saving/lease.py).
LEASE = "lease.json"
# Below it the checks of a store write (checks/object_store.py); where nothing may be deleted, that stays.
PROBES = "doctor"
_PROBE = re.compile(r"[0-9a-f]{32}")
_CHECKPOINT = re.compile(r"checkpoint-\d+")


def claim_checkpoints(uri: str, option: str = "--checkpoints") -> None:
    """Mark `uri` (s3://... or a folder) as a place of ours for checkpoints.

    Raises InputError for one that holds other files and none of ours, and for a `checkpoint-N` that this program did
    not write: transformers' own trainer calls its folders so too, and they would be mixed with ours.
    """
    uri = uri.rstrip("/") or uri
    if not uri.startswith("s3://") and Path(uri).exists() and not Path(uri).is_dir():
        raise InputError(f"{option} {uri}: is a file; name a folder or s3://BUCKET/PREFIX")
    names = [name for name in store.list_children(uri) if name != PROBES or not _only_probes(f"{uri}/{name}")]
    named = [name for name in names if _CHECKPOINT.fullmatch(name)]
    if foreign := [name for name in named if store.own_files(f"{uri}/{name}") is None]:
        raise InputError(
            f"{option} {uri}: {', '.join(foreign)}: not written by biomed-r1 (no {store.MANIFEST} and no {MARK} of its "
            "own); name another place, or move them"
        )
    if store.read_mark(uri) is not None:
        return
    if names and not named and not any(LEASE in store.list_children(f"{uri}/{name}") for name in names):
        raise InputError(
            f"{option} {uri}: holds files, none of them biomed-r1's ({', '.join(names[:3])}); name an empty place"
        )
    try:
        store.put_json(f"{uri}/{MARK}", mark_of(()))
    except OSError as error:
        raise InputError(f"{option} {uri}: cannot be written ({error.strerror}); name another place") from None


def _only_probes(uri: str) -> bool:
    return all(_PROBE.fullmatch(name) for name in store.list_children(uri))
