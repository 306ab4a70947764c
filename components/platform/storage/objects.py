"""Objects in S3, or files in a folder, by URI: read, write, write only if absent or unchanged, list, delete.

Every function takes `s3://bucket/key` or a local path, with the same meaning. The connection is in s3.py, whole
directories with their manifest are in store.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from components.errors import DamagedError, InputError
from components.platform.folders.deletion import remove_file, remove_files, remove_object, replacing
from components.platform.folders.marks import MARK
from components.platform.storage import s3

LOG = logging.getLogger(__name__)
_COPY_CHUNK = 1 << 20
# Buckets of which was said that nothing is deleted there: one line a process, not one an object.
_KEPT: set[str] = set()


def put_json(uri: str, value: Any) -> None:
    """Write a JSON value, replacing what is there."""
    body = _body(value)
    if s3.is_s3(uri):
        bucket, key = s3.split(uri)
        s3.asked(uri, lambda: s3.client().put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json"))
    else:
        _write(Path(uri), body)


def create_json(uri: str, value: Any) -> bool:
    """Write a JSON value only where nothing is (`If-None-Match: *`); returns whether it was written.

    An answer that got lost on its way is resolved by reading the object back.
    """
    return _conditionally(uri, value, {"IfNoneMatch": "*"}, None)


def replace_json(uri: str, value: Any, etag: str) -> bool:
    """Replace a JSON value only if its version is still `etag` (`If-Match`); returns whether it was replaced."""
    return _conditionally(uri, value, {"IfMatch": etag}, etag)


def get_json(uri: str) -> Any:
    """The JSON value of an object, or None where there is none.

    Raises DamagedError for one that is not JSON, UnavailableError when the store does not answer, InputError when it
    refuses the credentials.
    """
    return read_json(uri)[0]


def read_json(uri: str) -> tuple[Any, str]:
    """The JSON value of an object and its version for `replace_json`; (None, "") where there is none."""

    def read() -> tuple[Any, str]:
        found = _read(uri)
        if found is None:
            return None, ""
        body, etag = found
        try:
            return json.loads(body), etag
        except ValueError as error:
            raise DamagedError(f"{uri}: not JSON ({error})") from None

    # A proxy can take half an answer for the whole one.
    return s3.again(read, DamagedError) if s3.is_s3(uri) else read()


def list_children(uri: str) -> list[str]:
    """Names directly below a URI (folders and files), sorted; our own mark is none of them."""
    if not s3.is_s3(uri):
        return sorted(p.name for p in Path(uri).iterdir() if p.name != MARK) if Path(uri).is_dir() else []
    bucket, key = s3.split(uri.rstrip("/") + "/")
    names = set()
    for page in _pages(uri, Bucket=bucket, Prefix=key, Delimiter="/"):
        names |= {p["Prefix"][len(key) :].rstrip("/") for p in page.get("CommonPrefixes", [])}
        names |= {o["Key"][len(key) :] for o in page.get("Contents", [])}
    return sorted(names - {"", MARK})


@dataclass(frozen=True)
class Listed:
    """One file below a URI: its path relative to that, its size in bytes, when it was last written."""

    path: str
    size: int
    modified: datetime


def describe_files(uri: str) -> list[Listed]:
    """Every file below a URI with size and age, sorted by path."""
    if not s3.is_s3(uri):
        files = ((p, p.stat()) for p in sorted(Path(uri).rglob("*")) if p.is_file())
        return [
            Listed(p.relative_to(uri).as_posix(), s.st_size, datetime.fromtimestamp(s.st_mtime, UTC)) for p, s in files
        ]
    bucket, prefix = s3.split(uri.rstrip("/") + "/")
    items = (item for page in _pages(uri, Bucket=bucket, Prefix=prefix) for item in page.get("Contents", []))
    return sorted(
        (Listed(item["Key"][len(prefix) :], int(item["Size"]), item["LastModified"]) for item in items),
        key=lambda file: file.path,
    )


def list_files(uri: str) -> list[str]:
    """Paths of every file below a URI, relative to it, sorted; marks are left out."""
    return [file.path for file in describe_files(uri) if file.path.rsplit("/", 1)[-1] != MARK]


def digest(uri: str) -> tuple[int, str] | None:
    """The size in bytes and the sha256 of an object, read piece by piece and kept nowhere; None where there is none."""
    if not s3.is_s3(uri):
        if not Path(uri).is_file():
            return None
        with Path(uri).open("rb") as file:
            return _digest(file.read)
    bucket, key = s3.split(uri)

    def fetch() -> tuple[int, str] | None:
        return _digest(s3.client().get_object(Bucket=bucket, Key=key)["Body"].read)

    return s3.again(lambda: s3.asked(uri, fetch, absent=lambda: None), s3.BrokenOffError)


def _digest(read: Callable[[int], bytes]) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while piece := read(1 << 20):
        size += len(piece)
        sha256.update(piece)
    return size, sha256.hexdigest()


def delete(uri: str) -> None:
    """Delete one object; nothing happens where there is none, and where the keys may not it stays, with a warning.

    Object lock and policies without s3:DeleteObject are common; what stays costs room and nothing else.
    """
    if not s3.is_s3(uri):
        remove_file(Path(uri))
        return
    bucket, key = s3.split(uri)
    try:
        s3.asked(uri, lambda: remove_object(s3.client(), bucket, key))
    except InputError as error:
        if bucket not in _KEPT:
            _KEPT.add(bucket)
            LOG.warning("s3://%s: what a run would delete stays; a lifecycle rule can expire it (%s)", bucket, error)


def delete_files(uri: str, names: Sequence[str]) -> None:
    """Delete files below a URI, by name and in this order; a local folder that is empty then goes too."""
    if not s3.is_s3(uri):
        remove_files(Path(uri), names)
        return
    for name in names:
        delete(f"{uri.rstrip('/')}/{name}")


def put_file(path: Path, uri: str) -> tuple[str, int]:
    """Upload a file (in parts where it is large); returns the sha256 and the size of the bytes that were sent.

    Hashed while it is read: reading 100 GB a second time would take as long as the upload.
    """
    with path.open("rb") as file:
        source = _Hashed(file)
        if not s3.is_s3(uri):
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
            with Path(uri).open("wb") as target:
                shutil.copyfileobj(source, target, _COPY_CHUNK)
        else:
            bucket, key = s3.split(uri)
            settings = s3.transfer(path.stat().st_size)
            s3.asked(uri, lambda: s3.client().upload_fileobj(source, bucket, key, Config=settings))
    return source.digest.hexdigest(), source.size


def get_file(uri: str, path: Path) -> bool:
    """Download an object to `path`; returns whether there is one."""
    if not s3.is_s3(uri):
        if not Path(uri).is_file():
            return False
        shutil.copyfile(uri, path)
        return True
    bucket, key = s3.split(uri)

    def fetch() -> bool:
        try:
            s3.client().download_file(bucket, key, str(path))
        except KeyError:  # a proxy that sends answers in chunks says no length in the answer to HEAD
            with path.open("wb") as target:
                shutil.copyfileobj(s3.client().get_object(Bucket=bucket, Key=key)["Body"], target, _COPY_CHUNK)
        return True

    return s3.again(lambda: s3.asked(uri, fetch, absent=lambda: False), s3.BrokenOffError)


def copy_file(source: str, uri: str, size: int) -> None:
    """Copy an object of `size` bytes to another URI of the same store, by the store itself; an older one is replaced.

    Raises DamagedError where there is no source.
    """

    def absent() -> None:
        raise DamagedError(f"{source}: no such object")

    if not s3.is_s3(uri):
        if not Path(source).is_file():
            absent()
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, uri)
        return
    (bucket, key), (target, name) = s3.split(source), s3.split(uri)
    given = {"Bucket": bucket, "Key": key}
    s3.asked(uri, lambda: s3.client().copy(given, target, name, Config=s3.transfer(size)), absent=absent)


def read_tail(uri: str, size: int) -> bytes:
    """The last `size` bytes of an object, all of a shorter one; raises DamagedError where there is none."""

    def absent() -> bytes:
        raise DamagedError(f"{uri}: no such object")

    if not s3.is_s3(uri):
        return Path(uri).read_bytes()[-size:] if Path(uri).is_file() else absent()
    bucket, key = s3.split(uri)

    def fetch() -> bytes:
        body: bytes = s3.client().get_object(Bucket=bucket, Key=key, Range=f"bytes=-{size}")["Body"].read()
        return body

    return s3.again(lambda: s3.asked(uri, fetch, absent=absent), s3.BrokenOffError)


class _Hashed:
    """A file that is read once, from its beginning to its end, and hashed on the way.

    It has no `seek`: boto3 would read each part of a file that has one twice, and not in order.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, amount: int = -1) -> bytes:
        chunk = self._file.read(amount)
        self.digest.update(chunk)
        self.size += len(chunk)
        return chunk


def _body(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def _read(uri: str) -> tuple[bytes, str] | None:
    if not s3.is_s3(uri):
        if not Path(uri).is_file():
            return None
        body = Path(uri).read_bytes()
        return body, hashlib.sha256(body).hexdigest()
    bucket, key = s3.split(uri)

    def fetch() -> tuple[bytes, str] | None:
        answer = s3.client().get_object(Bucket=bucket, Key=key)
        return answer["Body"].read(), answer["ETag"]

    return s3.again(lambda: s3.asked(uri, fetch, absent=lambda: None), s3.BrokenOffError)


def _conditionally(uri: str, value: Any, condition: dict[str, str], etag: str | None) -> bool:
    body = _body(value)
    if not s3.is_s3(uri):
        return _locally(Path(uri), body, etag)
    bucket, key = s3.split(uri)
    try:
        s3.asked(
            uri,
            lambda: s3.client().put_object(
                Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition
            ),
        )
    except s3.ConflictingWriteError:
        # A first try may have been stored although its answer was lost; then this one met its own write.
        found = _read(uri)
        return found is not None and found[0] == body
    return True


def _locally(path: Path, body: bytes, etag: str | None) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        found = _read(str(path))
        if (found[1] if found else None) != etag:
            return False
        _write(path, body)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, body: bytes) -> None:
    """Written beside and moved into place: a reader never sees half of it."""
    with replacing(path) as partial:
        partial.write_bytes(body)


def _pages(uri: str, **arguments: Any) -> list[Any]:
    def pages() -> list[Any]:
        return s3.asked(uri, lambda: list(s3.client().get_paginator("list_objects_v2").paginate(**arguments)))

    return s3.again(pages, s3.BrokenOffError)
