"""What a run's own record says of its bad ends: why a task failed, where its log is, that it was cancelled.

KFP's API gives no reason for a failed task, and its Workflow and pods are gone after a while; a cancelled run it calls
FAILED. Beside the receipts, `runs/RUN/failures/TASK.json` and `runs/RUN/cancelled.json` say so for good.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from components.errors import ReadableError
from components.platform.storage import objects

LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 1
_LONGEST = 1000


@contextmanager
def recorded(root: str, run: str, task: str, stage: str) -> Iterator[None]:
    """Write why the block failed into the run's record, and raise it all the same."""
    try:
        yield
    except BaseException as error:
        record = {
            "schema_version": SCHEMA_VERSION,
            "task": task,
            "stage": stage,
            "error": _one_line(error),
            "time": _now(),
            "pod": os.environ.get("KFP_POD_NAME"),
            "log": log_address(sys.argv),
        }
        try:
            objects.put_json(f"{_folder(root, run)}/failures/{task}.json", record)
        except (ReadableError, OSError) as silent:
            LOG.warning("task %s: why it failed could not be stored: %s", task, silent)
        raise


def read_failure(root: str, run: str, task: str) -> dict[str, Any] | None:
    """Why a task last failed: `error` in one line, `log` and `pod` where they are known; None without a record.

    A task that left a receipt as well has succeeded since.
    """
    record: dict[str, Any] | None = objects.get_json(f"{_folder(root, run)}/failures/{task}.json")
    return record


def log_address(arguments: Sequence[str]) -> str | None:
    """Where KFP's launcher stores the log of this process, from the process's own arguments; None outside KFP."""
    for before, text in itertools.pairwise(arguments):
        if before == "--executor_input":
            try:
                return _uri(json.loads(text))
            except ValueError:
                return None
    return None


def record_cancelled(root: str, run: str, by: str) -> None:
    """Record that a run is being cancelled, and who asked for it."""
    objects.put_json(
        f"{_folder(root, run)}/cancelled.json", {"schema_version": SCHEMA_VERSION, "by": by, "time": _now()}
    )


def read_cancelled(root: str, run: str) -> dict[str, Any] | None:
    """Who cancelled a run and when; None for one that nobody did."""
    record: dict[str, Any] | None = objects.get_json(f"{_folder(root, run)}/cancelled.json")
    return record


def forget_cancelled(root: str, run: str) -> None:
    """Take the record back: the run could not be cancelled."""
    objects.delete(f"{_folder(root, run)}/cancelled.json")


def _folder(root: str, run: str) -> str:
    return f"{root}/runs/{run}"


def _uri(executor_input: Mapping[str, Any]) -> str | None:
    logs = executor_input.get("outputs", {}).get("artifacts", {}).get("executor-logs", {}).get("artifacts", [])
    return str(logs[0]["uri"]) if logs and "uri" in logs[0] else None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if not isinstance(error, ReadableError):
        text = f"{type(error).__name__}{f': {text}' if text else ''}"
    return text[:_LONGEST]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
