"""Objects in S3, or files in a folder, by URI: read, write, write only if absent or unchanged, list, delete.

The only user of boto3. Every function takes `s3://bucket/key` or a local path, with the same meaning. Endpoint and
credentials come from the AWS SDK's own environment variables. Whole directories with their manifest: store.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from components.errors import DamagedError, InputError, UnavailableError

PARALLEL_FILES = 4
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
    for last in (False, True):  # a body can be damaged on its way here: asked for once more
        found = _read(uri)
        if found is None:
            return None, ""
        try:
            return json.loads(found[0]), found[1]
        except ValueError as error:
            if last:
                raise DamagedError(f"{uri}: not JSON ({error})") from None
    raise AssertionError("unreachable: the second time raises")


def list_children(uri: str) -> list[str]:
    """Names directly below a URI (folders and files), sorted."""
    if not _is_s3(uri):
        return sorted(p.name for p in Path(uri).iterdir()) if Path(uri).is_dir() else []
    bucket, key = split(uri.rstrip("/") + "/")
    names = set()
    for page in _pages(uri, Bucket=bucket, Prefix=key, Delimiter="/"):
        names |= {p["Prefix"][len(key) :].rstrip("/") for p in page.get("CommonPrefixes", [])}
        names |= {o["Key"][len(key) :] for o in page.get("Contents", [])}
    return sorted(names - {""})


def list_files(uri: str) -> list[str]:
    """Paths of every file below a URI, relative to it, sorted."""
    if not _is_s3(uri):
        return sorted(p.relative_to(uri).as_posix() for p in Path(uri).rglob("*") if p.is_file())
    bucket, prefix = split(uri.rstrip("/") + "/")
    pages = _pages(uri, Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", []))


def delete(uri: str) -> None:
    """Delete one object; nothing happens where there is none."""
    if not _is_s3(uri):
        Path(uri).unlink(missing_ok=True)
        return
    bucket, key = split(uri)
    _asked(uri, lambda: client().delete_object(Bucket=bucket, Key=key))


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


def check(uri: str) -> None:
    """Raise InputError, within about 8 s, unless the bucket of `uri` can be reached and listed."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _ = split(uri)
    try:
        client(quick=True).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "AWS")
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
    import boto3
    from botocore.config import Config

    timeouts = {"connect_timeout": 2, "read_timeout": 3} if quick else {"connect_timeout": 10, "read_timeout": 60}
    config = Config(
        **timeouts,
        retries={"total_max_attempts": 2 if quick else 5, "mode": "standard"},
        s3={"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL_S3") else "auto"},
        max_pool_connections=4 * PARALLEL_FILES,
    )
    return boto3.client("s3", region_name=os.environ.get("AWS_REGION", "us-east-1"), config=config)


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
    from s3transfer.exceptions import RetriesExceededError
    from urllib3.exceptions import HTTPError

    return (Boto3Error, RetriesExceededError, HTTPError)


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

    # The SDK repeats a request that failed; a body that broke off after the headers is ours to ask for again.
    for attempt in Retrying(
        retry=retry_if_exception_type(UnavailableError),
        stop=stop_after_attempt(4),
        wait=wait_exponential_jitter(initial=0.2, max=5),
        reraise=True,
    ):
        with attempt:
            return _asked(uri, fetch, absent=lambda: None)
    raise AssertionError("unreachable: reraise")


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
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.partial-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
    os.chmod(partial, 0o666 & ~_umask())
    os.replace(partial, path)


@lru_cache(maxsize=1)
def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _pages(uri: str, **arguments: Any) -> list[Any]:
    return _asked(uri, lambda: list(client().get_paginator("list_objects_v2").paginate(**arguments)))
