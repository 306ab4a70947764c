"""What a task and the pods of its TrainJob hand to each other, through the store: request, result, errors.

All of it lies beside the training's checkpoints in `KEY-job/DIGEST/`, where the digest is the request's: the same
request finds the result of a job that ended while nobody watched, and another one (other code, another format of the
weights) never takes it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import errors
from components.errors import ReadableError, StageError, StoppedError
from components.platform.folders.deletion import workspace
from components.platform.machine import home
from components.platform.storage import objects, store

REQUEST, MIX = "request.json", "mix.parquet"
_REQUEST, _RESULT, _EVIDENCE = "request", "result", "evidence.json"
_ENDED = "ended-"
_SCRATCH = "scratch"


def address(checkpoints: str, request: Mapping[str, Any], mix: Path) -> str:
    """Where a request and what becomes of it lie: the same address for the same work."""
    text = json.dumps([dict(request), store.file_sha256(mix)], sort_keys=True)
    return f"{_folder(checkpoints)}/{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _folder(checkpoints: str) -> str:
    return f"{checkpoints.rstrip('/')}-job"


def put_request(uri: str, request: Mapping[str, Any], mix: Path) -> None:
    """Store a request with its rows, unless it is there already; what its result is made of comes by reference."""
    where = f"{uri}/{_REQUEST}"
    if store.exists(where):
        return
    with workspace(home() / _SCRATCH, "request-") as folder:
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        shutil.copyfile(mix, folder / MIX)
        store.put_dir(folder, where, stage="request", key=uri.rpartition("/")[2])


def get_request(uri: str, folder: Path) -> dict[str, Any]:
    """The request, whose rows are in `folder` (created) then; verified as every stored directory is."""
    store.get_dir(f"{uri}/{_REQUEST}", folder)
    return dict(json.loads((folder / REQUEST).read_text(encoding="utf-8")))


def put_result(uri: str, folder: Path, evidence: Mapping[str, Any], code: str) -> None:
    """Store a finished model, then what is said of it: without that there is no result.

    What a job before left half uploaded, or whole without a word, is replaced.
    """
    where = f"{uri}/{_RESULT}"
    store.delete_prefix(where)
    store.put_dir(folder, where, stage="result", key=uri.rpartition("/")[2], code=code)
    objects.put_json(f"{uri}/{_EVIDENCE}", dict(evidence))


def get_result(uri: str) -> dict[str, Any] | None:
    """The evidence of a finished training, None where there is none; its model is at `result_uri`."""
    found = objects.get_json(f"{uri}/{_EVIDENCE}")
    return dict(found) if found is not None and store.exists(result_uri(uri)) else None


def result_uri(uri: str) -> str:
    """The directory of the model that `put_result` stored."""
    return f"{uri}/{_RESULT}"


def put_error(uri: str, attempt: str, node: int, error: ReadableError) -> None:
    """What a node of one attempt ended with, in its words; a later one of the same attempt replaces it."""
    told = {"kind": type(error).__name__, "text": str(error), "exit_code": error.exit_code}
    objects.put_json(f"{uri}/{_ENDED}{attempt}/{node}.json", told)


def forget_error(uri: str, attempt: str, node: int) -> None:
    """Delete what a pod said that JobSet has replaced by this one."""
    objects.delete(f"{uri}/{_ENDED}{attempt}/{node}.json")


def get_error(uri: str, attempt: str) -> ReadableError | None:
    """The error of an attempt: being told to stop first, else that of the lowest node; None where none was told."""
    where = f"{uri}/{_ENDED}{attempt}"
    return first_error([dict(objects.get_json(f"{where}/{name}")) for name in store.list_children(where)])


def first_error(found: list[dict[str, Any]]) -> ReadableError | None:
    """Of errors as dictionaries of `kind`, `text` and `exit_code`: StoppedError first, else the first one."""
    if not found:
        return None
    first = next((one for one in found if one["exit_code"] == StoppedError.exit_code), found[0])
    problem: ReadableError = getattr(errors, first["kind"], StageError)(first["text"])
    return problem


def forget(checkpoints: str) -> None:
    """Delete all requests, results and errors of a training: its result is stored where it belongs."""
    folder = _folder(checkpoints)
    for name in store.list_children(folder):
        uri = f"{folder}/{name}"
        objects.delete(f"{uri}/{_EVIDENCE}")
        for child in store.list_children(uri):
            if child in (_REQUEST, _RESULT):
                store.delete_prefix(f"{uri}/{child}")
            elif child.startswith(_ENDED):
                objects.delete_files(f"{uri}/{child}", store.list_children(f"{uri}/{child}"))
