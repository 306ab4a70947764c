"""Objects in S3, or files in a folder, by URI: read, write, write only if absent or unchanged, list, delete.

The only user of boto3. Every function takes `s3://bucket/key` or a local path, with the same meaning. Endpoint and
credentials come from the AWS SDK's own environment variables. Whole directories with their manifest: store.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from components.errors import DamagedError, InputError, UnavailableError
from components.platform.folders.deletion import remove_file, remove_files, remove_object, replacing
from components.platform.folders.marks import MARK

LOG = logging.getLogger(__name__)
PARALLEL_FILES = 4
# Seconds before an answer that broke off is asked for again, then twice as long each time.
FIRST_WAIT = 0.2
_COPY_CHUNK, _PART = 1 << 20, 8 << 20
_MOST_PARTS = 5_000
_ABSENT = ("NoSuchKey", "404", "NoSuchBucket", "NotFound")
_CONFLICT = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
# What a person mends, and waiting does not.
_REFUSED = (
    "AccessDenied",
    "403",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "AuthorizationHeaderMalformed",
    "NoSuchBucket",
    "PermanentRedirect",
)
# Buckets of which was said that nothing is deleted there: one line a process, not one an object.
_KEPT: set[str] = set()
Result = TypeVar("Result")


def put_json(uri: str, value: Any) -> None:
    """Write a JSON value, replacing what is there."""
    body = _body(value)
    if _is_s3(uri):
        bucket, key = split(uri)
        _asked(uri, lambda: client().put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json"))
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
    return _again(read, DamagedError) if _is_s3(uri) else read()


def list_children(uri: str) -> list[str]:
    """Names directly below a URI (folders and files), sorted; our own mark is none of them."""
    if not _is_s3(uri):
        return sorted(p.name for p in Path(uri).iterdir() if p.name != MARK) if Path(uri).is_dir() else []
    bucket, key = split(uri.rstrip("/") + "/")
    names = set()
    for page in _pages(uri, Bucket=bucket, Prefix=key, Delimiter="/"):
        names |= {p["Prefix"][len(key) :].rstrip("/") for p in page.get("CommonPrefixes", [])}
        names |= {o["Key"][len(key) :] for o in page.get("Contents", [])}
    return sorted(names - {"", MARK})


def list_files(uri: str) -> list[str]:
    """Paths of every file below a URI, relative to it, sorted; marks are left out."""
    if _is_s3(uri):
        bucket, prefix = split(uri.rstrip("/") + "/")
        pages = _pages(uri, Bucket=bucket, Prefix=prefix)
        names = (item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", []))
    else:
        names = (p.relative_to(uri).as_posix() for p in Path(uri).rglob("*") if p.is_file())
    return sorted(name for name in names if name.rsplit("/", 1)[-1] != MARK)


@dataclass(frozen=True)
class Listed:
    """One file below a URI: its path relative to that, its size in bytes, when it was last written."""

    path: str
    size: int
    modified: datetime


def describe_files(uri: str) -> list[Listed]:
    """Every file below a URI with size and age, sorted by path."""
    if not _is_s3(uri):
        files = ((p, p.stat()) for p in sorted(Path(uri).rglob("*")) if p.is_file())
        return [
            Listed(p.relative_to(uri).as_posix(), s.st_size, datetime.fromtimestamp(s.st_mtime, UTC)) for p, s in files
        ]
    bucket, prefix = split(uri.rstrip("/") + "/")
    items = (item for page in _pages(uri, Bucket=bucket, Prefix=prefix) for item in page.get("Contents", []))
    return sorted(
        (Listed(item["Key"][len(prefix) :], int(item["Size"]), item["LastModified"]) for item in items),
        key=lambda file: file.path,
    )


def digest(uri: str) -> tuple[int, str] | None:
    """The size in bytes and the sha256 of an object, read piece by piece and kept nowhere; None where there is none."""
    if not _is_s3(uri):
        if not Path(uri).is_file():
            return None
        with Path(uri).open("rb") as file:
            return _digest(file.read)
    bucket, key = split(uri)
    for attempt in _patiently():
        with attempt:
            return _asked(
                uri, lambda: _digest(client().get_object(Bucket=bucket, Key=key)["Body"].read), absent=lambda: None
            )
    raise AssertionError("unreachable: reraise")


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
    if not _is_s3(uri):
        remove_file(Path(uri))
        return
    bucket, key = split(uri)
    try:
        _asked(uri, lambda: remove_object(client(), bucket, key))
    except InputError as error:
        if bucket not in _KEPT:
            _KEPT.add(bucket)
            LOG.warning("s3://%s: what a run would delete stays; a lifecycle rule can expire it (%s)", bucket, error)


def delete_files(uri: str, names: Sequence[str]) -> None:
    """Delete files below a URI, by name and in this order; a local folder that is empty then goes too."""
    if not _is_s3(uri):
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
        if not _is_s3(uri):
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
            with Path(uri).open("wb") as target:
                shutil.copyfileobj(source, target, _COPY_CHUNK)
        else:
            bucket, key = split(uri)
            settings = _transfer(path.stat().st_size)
            _asked(uri, lambda: client().upload_fileobj(source, bucket, key, Config=settings))
    return source.digest.hexdigest(), source.size


def get_file(uri: str, path: Path) -> bool:
    """Download an object to `path`; returns whether there is one."""
    if not _is_s3(uri):
        if not Path(uri).is_file():
            return False
        shutil.copyfile(uri, path)
        return True
    bucket, key = split(uri)
    return _asked(uri, lambda: client().download_file(bucket, key, str(path)) or True, absent=lambda: False)


def read_tail(uri: str, size: int) -> bytes:
    """The last `size` bytes of an object, all of a shorter one; raises DamagedError where there is none."""

    def absent() -> bytes:
        raise DamagedError(f"{uri}: no such object")

    if not _is_s3(uri):
        return Path(uri).read_bytes()[-size:] if Path(uri).is_file() else absent()
    bucket, key = split(uri)

    def fetch() -> bytes:
        body: bytes = client().get_object(Bucket=bucket, Key=key, Range=f"bytes=-{size}")["Body"].read()
        return body

    return _asked(uri, fetch, absent=absent)


def create_bucket(name: str) -> None:
    """Create a bucket unless it is there; raises InputError when the store does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client(quick=True).create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise InputError(f"bucket {name}: {error}") from None
    except BotoCoreError as error:
        raise InputError(f"bucket {name}: {error}") from None


def check(uri: str) -> None:
    """Raise InputError, within about 8 s and with the store's reason, unless what is below `uri` can be listed.

    Asked as a run asks, below the prefix: a policy may allow no more, and the answer to HEAD has no reason in it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = split(uri.rstrip("/") + "/")
    try:
        client(quick=True).list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    except (BotoCoreError, ClientError) as error:
        endpoint = client(quick=True).meta.endpoint_url
        raise InputError(
            f"BIOMED_R1_STORE={uri}: S3 at {endpoint} does not answer for bucket {bucket!r} ({error}); "
            "check AWS_ENDPOINT_URL_S3, the credentials and that the bucket exists"
        ) from None


def split(uri: str) -> tuple[str, str]:
    """(bucket, key) of an S3 URI; raises InputError for anything else."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not _is_s3(uri) or not bucket:
        raise InputError(f"{uri!r}: not an S3 URI; write s3://BUCKET/PREFIX")
    return bucket, key


@lru_cache(maxsize=2)
def client(quick: bool = False) -> Any:
    """The S3 client; it retries by itself what can pass (`standard` mode), `quick` once only."""
    timeouts = {"connect_timeout": 2, "read_timeout": 3} if quick else {"connect_timeout": 10, "read_timeout": 60}
    retries = {"total_max_attempts": 2 if quick else 5, "mode": "standard"}
    return sdk_client(**timeouts, retries=retries, max_pool_connections=4 * PARALLEL_FILES)


def sdk_client(**settings: Any) -> Any:
    """An S3 client as the SDK configures it from its variables and files, with these settings of botocore's Config.

    The region is AWS_REGION, which boto3 itself does not read, else the SDK's own (AWS_DEFAULT_REGION, the profile).
    Raises InputError for a profile or a file that the SDK cannot use.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
        return session.client("s3", region_name=region, config=Config(**settings))
    except (BotoCoreError, ValueError) as error:
        raise InputError(
            f"S3: {error}; check AWS_PROFILE, AWS_ENDPOINT_URL_S3 and the files ~/.aws/config and ~/.aws/credentials"
        ) from None


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


def _transfer(size: int) -> Any:
    """How a file of `size` bytes is cut into parts: S3 takes at most 10,000 of them."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_chunksize=max(_PART, -(-size // _MOST_PARTS)))


def _is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


def _body(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def _asked(uri: str, call: Callable[[], Result], absent: Callable[[], Result] | None = None) -> Result:
    """What the store answered; its errors as ours. `absent` gives the result where there is no such object."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if absent is not None and code in _ABSENT:
            return absent()
        if code in _CONFLICT:
            raise _ConflictError from None
        if code in _REFUSED:
            raise InputError(f"{uri}: {error}; check AWS_ACCESS_KEY_ID and the bucket's policy") from None
        raise UnavailableError(f"{uri}: {error}; nothing was changed, try again") from None
    except (BotoCoreError, *_transfer_errors()) as error:
        raise UnavailableError(f"{uri}: the store did not answer ({error}); try again") from None


def _transfer_errors() -> tuple[type[Exception], ...]:
    from boto3.exceptions import Boto3Error
    from botocore.parsers import ResponseParserError  # of half an XML document
    from s3transfer.exceptions import RetriesExceededError
    from urllib3.exceptions import HTTPError

    return (Boto3Error, ResponseParserError, RetriesExceededError, HTTPError)


class _ConflictError(Exception):
    """The condition of a conditional write did not hold."""


def _read(uri: str) -> tuple[bytes, str] | None:
    if not _is_s3(uri):
        if not Path(uri).is_file():
            return None
        body = Path(uri).read_bytes()
        return body, hashlib.sha256(body).hexdigest()
    bucket, key = split(uri)

    def fetch() -> tuple[bytes, str] | None:
        answer = client().get_object(Bucket=bucket, Key=key)
        return answer["Body"].read(), answer["ETag"]

    return _again(lambda: _asked(uri, fetch, absent=lambda: None), UnavailableError)


def _again(ask: Callable[[], Result], *errors: type[Exception]) -> Result:
    """What `ask` returns, asked up to four times while it raises one of `errors`."""
    return _patiently(*errors)(ask)


def _patiently(*errors: type[Exception]) -> Retrying:
    """The SDK repeats a request that failed; an answer that broke off after the headers is ours to ask for again."""
    return Retrying(
        retry=retry_if_exception_type(errors or UnavailableError),
        stop=stop_after_attempt(4),
        wait=wait_exponential_jitter(initial=FIRST_WAIT, max=5),
        reraise=True,
    )


def _conditionally(uri: str, value: Any, condition: dict[str, str], etag: str | None) -> bool:
    body = _body(value)
    if not _is_s3(uri):
        return _locally(Path(uri), body, etag)
    bucket, key = split(uri)
    try:
        _asked(
            uri,
            lambda: client().put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", **condition),
        )
    except _ConflictError:
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
        return _asked(uri, lambda: list(client().get_paginator("list_objects_v2").paginate(**arguments)))

    return _again(pages, UnavailableError)
