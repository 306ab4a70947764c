"""Records kept as they come, so that work killed half-way continues: a folder of parts, local or in the store.

A local part is appended to line by line and survives SIGKILL at once; a part in S3 is one object, written every few
seconds. Every line carries its own digest: one that was torn or damaged is left out, and its record is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from components.errors import InputError
from components.platform.storage import objects, store

LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 1
# KEY/PART below a journal's address, or PART below that of one work.
_PART = re.compile(r"([^/]+/)?\d{20}-[0-9a-f]{8}(-\d{6}\.json|\.jsonl)")
# What a lost machine costs at most; a local part is forced to the disk as often.
PART_SECONDS = 5.0


class Journal:
    """Records by id of the work that `key` names, below `uri` (s3://... or a folder)."""

    def __init__(self, uri: str, key: str) -> None:
        self.key, self.uri = key, f"{uri.rstrip('/')}/{key[:40]}"
        self._header = _line({"schema_version": SCHEMA_VERSION, "key": key})
        # A name of this process's own: another with the same work may write beside it.
        self._name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        self._file: TextIO | None = None
        self._waiting: list[str] = []
        self._parts = 0
        self._written = time.monotonic()

    def read(self) -> dict[str, Any]:
        """Every record of this work, by id; the first one where two processes made it twice."""
        records: dict[str, Any] = {}
        for name in store.list_children(self.uri):
            for record in self._records(f"{self.uri}/{name}"):
                records.setdefault(record["id"], record["value"])
        return records

    def add(self, record_id: str, value: Any) -> None:
        self._waiting.append(_line({"id": record_id, "value": value}))
        due = time.monotonic() - self._written >= PART_SECONDS
        if due or not self.uri.startswith("s3://"):
            self._write(to_disk=due)

    def close(self) -> None:
        """Write what waits. The journal stays: who stored the result deletes it."""
        if self._waiting or self._file:
            self._write(to_disk=True)
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, to_disk: bool) -> None:
        if self.uri.startswith("s3://"):
            store.put_json(f"{self.uri}/{self._name}-{self._parts:06d}.json", [self._header, *self._waiting])
            self._parts += 1
        else:
            if self._file is None:
                path = Path(self.uri) / f"{self._name}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("a", encoding="utf-8")
                if not self._file.tell():  # after a close the same part goes on
                    self._file.write(self._header + "\n")
            self._file.writelines(line + "\n" for line in self._waiting)
            self._file.flush()
            if to_disk:
                os.fsync(self._file.fileno())
        self._waiting.clear()
        if to_disk:
            self._written = time.monotonic()

    def _records(self, part: str) -> Iterator[dict[str, Any]]:
        """The sound records of one part; one line on stderr for a foreign part or for damaged lines."""
        try:
            lines = store.get_json(part) if part.endswith(".json") else _text_lines(Path(part))
        except (InputError, UnicodeDecodeError) as error:
            _warn(f"{part}: not readable ({error}); ignored")
            return
        values = [_value(line) for line in lines] if isinstance(lines, list) else []
        if not values or not isinstance(values[0], dict) or values[0] != _value(self._header):
            _warn(f"{part}: not a journal of this work, or of another version; ignored")
            return
        if damaged := values.count(None):
            _warn(f"{part}: {damaged} of {len(values)} lines are torn or damaged; their records are made again")
        yield from (value for value in values[1:] if value is not None)


def forget(uri: str) -> None:
    """Delete every part below a journal's address, and nothing else that lies there."""
    objects.delete_files(uri, [name for name in store.list_files(uri) if _PART.fullmatch(name)])


def _line(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}"


def _value(line: Any) -> Any:
    """What a line holds, or None where it is not as it was written."""
    digest, _, text = str(line).partition(" ")
    return json.loads(text) if hashlib.sha256(text.encode()).hexdigest()[:16] == digest else None


def _text_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _warn(text: str) -> None:
    LOG.warning("journal: %s", text)
