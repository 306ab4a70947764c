"""An object store in memory with S3's conditions, and processes that use it one call at a time, in any order.

It stands in the place of the boto3 client, so everything above that is the program's own. Each process is a thread
that waits before each call until it is told to go on, to lose the answer, or to die.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from components.platform.storage import s3, store

Turn = Literal["go", "lose the answer", "die"]


class Killed(BaseException):
    """The end of a process at this call."""


class Memory:
    """The few calls of a boto3 S3 client that `components.platform.storage.objects` makes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.changes = 0
        self.here = threading.local()

    def put_object(self, Key: str, Body: bytes, IfNoneMatch: str = "", IfMatch: str = "", **_: Any) -> Any:
        def put() -> None:
            found = self.objects.get(Key)
            if (IfNoneMatch and found is not None) or (IfMatch and (found is None or _etag(found) != IfMatch)):
                raise _error("PreconditionFailed")
            self._set(Key, Body)

        return self._call(put)

    def get_object(self, Key: str, **_: Any) -> Any:
        def get() -> Any:
            if Key not in self.objects:
                raise _error("NoSuchKey")
            return {"Body": io.BytesIO(self.objects[Key]), "ETag": _etag(self.objects[Key])}

        return self._call(get)

    def upload_fileobj(self, source: Any, _bucket: str, key: str, **_: Any) -> None:
        body = source.read()
        self._call(lambda: self._set(key, body))

    def download_file(self, bucket: str, key: str, path: str) -> None:
        body = self.get_object(key)["Body"].read()
        with open(path, "wb") as file:
            file.write(body)

    def delete_object(self, Key: str, **_: Any) -> None:
        def delete() -> None:
            self.changes += self.objects.pop(Key, None) is not None

        self._call(delete)

    def get_paginator(self, _: str) -> Memory:
        return self

    def paginate(self, Prefix: str, Delimiter: str = "", **_: Any) -> list[Any]:
        def pages() -> list[Any]:
            keys = [key for key in self.objects if key.startswith(Prefix)]
            below = {key[len(Prefix) :].split("/")[0] + "/" for key in keys if Delimiter and "/" in key[len(Prefix) :]}
            plain = [key for key in keys if not (Delimiter and "/" in key[len(Prefix) :])]
            prefixes = [{"Prefix": Prefix + name} for name in sorted(below)]
            return [{"CommonPrefixes": prefixes, "Contents": [{"Key": key} for key in plain]}]

        return self._call(pages)

    def _set(self, key: str, body: bytes) -> None:
        self.objects[key] = body
        self.changes += 1

    def _call(self, operation: Callable[[], Any]) -> Any:
        process: Process | None = getattr(self.here, "process", None)
        turn = process.pause() if process else "go"
        if turn == "die":
            raise Killed
        result = operation()
        if turn == "lose the answer":
            raise ReadTimeoutError(endpoint_url="memory")
        return result


class Process:
    """A thread that runs `program`, one call of the store at each `step`."""

    def __init__(self, memory: Memory, program: Callable[[], None]) -> None:
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._turn: Turn = "go"
        self.alive = True
        self.error: BaseException | None = None

        def run() -> None:
            memory.here.process = self
            try:
                program()
            except Killed:
                pass
            except BaseException as error:
                self.error = error
            self.alive = False
            self._theirs.release()

        threading.Thread(target=run, daemon=True).start()
        self._theirs.acquire()

    def pause(self) -> Turn:
        self._theirs.release()
        self._mine.acquire()
        return self._turn

    def step(self, turn: Turn) -> None:
        self._turn = turn
        self._mine.release()
        self._theirs.acquire()


class _Inline:
    """In the place of a pool of threads: one call after another."""

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: Any) -> None: ...

    map = staticmethod(map)


@contextmanager
def memory_store() -> Iterator[Memory]:
    """Every `s3://` address is in memory until the end of the block, and nothing sleeps between two tries."""
    memory = Memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3, "client", lambda: memory)
        patch.setattr(store, "ThreadPoolExecutor", _Inline)
        patch.setattr(store, "git_revision", lambda: "test")
        patch.setattr("tenacity.nap.time.sleep", lambda _: None)
        yield memory


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "Call")
