"""The round trip that a run makes to its object store, below a prefix of the check's own.

Put, get, list, eight conditional puts and eight conditional replacements at once of which one wins, a multipart upload,
delete.
Raises nothing for what a store refuses: every verb gets a finding with the store's own reason.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from components.platform.checks.findings import Finding
from components.platform.folders.deletion import remove_object
from components.platform.storage import s3
from components.platform.storage.claims import PROBES

WRITERS = 8
READ_ATTEMPTS = 4
# S3 refuses a request whose time is off by more than 15 minutes; what is off by a third of that will be soon.
SKEW_SECONDS = 300.0
BODY = b"biomed-r1 doctor\n"
_FULL = ("InsufficientStorage", "507", "XMinioStorageFull", "QuotaExceeded", "InsufficientCapacity", "ENOSPC")
_UNSUPPORTED = ("NotImplemented", "501", "InvalidRequest", "InvalidArgument", "XAmzContentSHA256Mismatch", "400", "411")
_HINTS = {
    "AccessDenied": "the keys' policy does not allow it: docs/policies/s3.json is what a run needs",
    "403": "the keys' policy does not allow it: docs/policies/s3.json is what a run needs",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID; unset a left-over AWS_SESSION_TOKEN or AWS_PROFILE",
    "InvalidToken": "unset AWS_SESSION_TOKEN unless it belongs to these keys",
    "ExpiredToken": "fetch new credentials",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "NoSuchBucket": "create the bucket, or correct BIOMED_R1_STORE",
    "404": "create the bucket, or correct BIOMED_R1_STORE",
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
}


@dataclass
class _Store:
    """The store under test: client, bucket, the check's own prefix, and what was learnt on the way."""

    client: Any
    bucket: str
    prefix: str
    keys: list[str] = field(default_factory=list)
    skew: float | None = None

    def key(self, name: str) -> str:
        self.keys.append(f"{self.prefix}/{name}")
        return self.keys[-1]


class _RefusedError(Exception):
    """What the store said to a verb: its code, and the sentence for a person."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_store(uri: str) -> Iterator[Finding]:
    """Findings for `s3://bucket/prefix`, in seconds; raises InputError where that is not what `uri` is."""
    store = _opened(uri)
    put = _tried("S3 put", lambda: _put(store), full="the store is full: free space or raise its quota")
    if put.level == "failed" and (other := _without_chunks(store)):
        put = other
    yield put
    if put.level == "failed":
        # The others would say the same again.
        yield from _clock(store)
        return
    yield _tried("S3 get", lambda: _get(store))
    yield _tried("S3 get of what is not there", lambda: _get_absent(store))
    yield _tried("S3 list", lambda: _list(store))
    yield _tried(f"S3 conditional put, {WRITERS} at once", lambda: _race(store))
    yield _tried("S3 conditional replacement", lambda: _replace(store))
    yield _tried("S3 multipart upload", lambda: _multipart(store))
    yield _deleted(store)
    yield from _clock(store)


def check_conditions(uri: str) -> Iterator[Finding]:
    """Whether of eight writers at once one wins, as `check_store` finds, and the clock: all that a pointer leans on."""
    store = _opened(uri)
    yield _tried(f"S3 conditional put, {WRITERS} at once", lambda: _race(store))
    yield _tried("S3 conditional replacement", lambda: _replace(store))
    yield _deleted(store)
    yield from _clock(store)


def _opened(uri: str) -> _Store:
    bucket, prefix = s3.split(uri)
    own = "/".join(part for part in (prefix.rstrip("/"), f"{PROBES}/{uuid.uuid4().hex}") if part)
    return _Store(_client(), bucket, own)


def _client(**settings: Any) -> Any:
    retries = {"total_max_attempts": 4, "mode": "standard"}
    return s3.sdk_client(connect_timeout=3, read_timeout=10, retries=retries, max_pool_connections=WRITERS, **settings)


def _put(store: _Store) -> None:
    answer = _asked(store, "put_object", Key=store.key("object"), Body=BODY)
    _note_time(store, answer)


def _get(store: _Store) -> None:
    if _body(store, store.keys[0]) != BODY:
        raise _RefusedError("", "what was read is not what was written; is a cache or a proxy in between?")


def _body(store: _Store, key: str) -> bytes:
    """An object's content; one that breaks off is asked for again, as a run does (platform/storage/s3.py)."""
    patient = Retrying(retry=retry_if_exception(_broke_off), stop=stop_after_attempt(READ_ATTEMPTS), reraise=True)
    return bytes(patient(lambda: _answered(store, _asked(store, "get_object", Key=key)["Body"].read)))


def _broke_off(error: BaseException) -> bool:
    return isinstance(error, _RefusedError) and not error.code


def _get_absent(store: _Store) -> None:
    """A run asks for results that are not there yet; S3 hides that from keys that may not list the bucket."""
    try:
        _asked(store, "get_object", Key=f"{store.prefix}/absent")
    except _RefusedError as error:
        if error.code in ("NoSuchKey", "404", "NotFound"):
            return
        raise _RefusedError(
            error.code,
            f"what is not there is refused and not called absent ({error}); allow s3:ListBucket without a condition "
            "that needs a prefix, as in docs/policies/s3.json",
        ) from None
    raise _RefusedError("", "an object that was never written is there; is a cache or a proxy in between?")


def _list(store: _Store) -> None:
    answer = _asked(store, "list_objects_v2", Prefix=f"{store.prefix}/", MaxKeys=10)
    if store.keys[0] not in [item["Key"] for item in answer.get("Contents", [])]:
        raise _RefusedError("", "an object just written is not listed; a run's receipts would be missed")


def _race(store: _Store) -> None:
    key = store.key("lock")
    won = _winners(store, Key=key, IfNoneMatch="*")
    if won != 1:
        raise _RefusedError(
            "", f"{won} of {WRITERS} writers were told that they were first: the store ignores If-None-Match, so two "
            "runs could hold the same lock; use one that keeps it (AWS S3, SeaweedFS, MinIO, Ceph)"
        )  # fmt: skip


def _replace(store: _Store) -> None:
    """Eight at once replace one version: two that were told so would each believe that theirs is what counts."""
    key = store.key("version")
    first = _asked(store, "put_object", Key=key, Body=b"first")["ETag"]
    won = _winners(store, Key=key, IfMatch=first)
    if won != 1 or _winners(store, Key=key, IfMatch=first):
        raise _RefusedError(
            "", f"{won} of {WRITERS} writers were told that they replaced one version: the store ignores If-Match, and "
            "of two changes to one record the later would undo the earlier"
        )  # fmt: skip


def _winners(store: _Store, **conditions: str) -> int:
    """How many of eight conditional writes at once the store accepts."""
    bodies = [f"{number} {uuid.uuid4().hex}".encode() for number in range(WRITERS)]

    def write(body: bytes) -> bool:
        try:
            _note_time(store, _asked(store, "put_object", Body=body, **conditions))
        except _RefusedError as error:
            if error.code in s3.CONFLICT:
                return False
            raise
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = sum(pool.map(write, bodies))
    if not won:  # where the winner's answer was lost, the SDK asked again and met its own write
        with contextlib.suppress(_RefusedError):
            return int(_body(store, conditions["Key"]) in bodies)
    return won


def _multipart(store: _Store) -> None:
    key = store.key("parts")
    upload = _asked(store, "create_multipart_upload", Key=key)["UploadId"]
    try:
        part = _asked(store, "upload_part", Key=key, UploadId=upload, PartNumber=1, Body=BODY)
        parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        _asked(store, "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload=parts)
    except _RefusedError:
        with contextlib.suppress(_RefusedError):  # the first refusal is the one to tell
            _asked(store, "abort_multipart_upload", Key=key, UploadId=upload)
        raise


def _deleted(store: _Store) -> Finding:
    """Without this right a run ends well all the same: what it would delete stays."""
    try:
        for key in dict.fromkeys(store.keys):
            _remove(store, key)
    except _RefusedError as error:
        kept = f"old checkpoints and s3://{store.bucket}/{store.prefix} stay; a lifecycle rule can expire them"
        return Finding("S3 delete", "warning", f"{error}; {kept}")
    return Finding("S3 delete")


def _remove(store: _Store, key: str) -> None:
    _answered(store, lambda: remove_object(store.client, store.bucket, key))


def _without_chunks(store: _Store) -> Finding | None:
    """Whether a refused put works without the SDK's checksum in a trailer, which makes its body aws-chunked."""
    if os.environ.get("AWS_REQUEST_CHECKSUM_CALCULATION") == "when_required":
        return None
    other = _Store(_client(request_checksum_calculation="when_required"), store.bucket, store.prefix)
    try:
        _put(other)
        _remove(other, other.keys[0])
    except _RefusedError:
        return None
    text = "the store takes no aws-chunked bodies: set AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
    return Finding("S3 put", "failed", text)


def _clock(store: _Store) -> Iterator[Finding]:
    if store.skew is None:
        return
    if abs(store.skew) > SKEW_SECONDS:
        text = (
            f"this machine's clock is {abs(store.skew):.0f} s {'ahead of' if store.skew > 0 else 'behind'} the store's"
        )
        yield Finding("clock", "failed", f"{text}, and S3 refuses requests from 900 s on; set it (NTP)")
    else:
        yield Finding("clock")


def _tried(label: str, act: Callable[[], None], full: str = "") -> Finding:
    try:
        act()
    except _RefusedError as error:
        text = f"{error}; {full}" if full and error.code in _FULL else str(error)
        return Finding(label, "failed", text)
    return Finding(label)


def _asked(store: _Store, verb: str, **arguments: Any) -> Any:
    return _answered(store, lambda: getattr(store.client, verb)(Bucket=store.bucket, **arguments))


def _answered(store: _Store, call: Callable[[], Any]) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except ClientError as error:
        _note_time(store, error.response)
        code = str(error.response["Error"].get("Code", ""))
        hint = _HINTS.get(code, "")
        raise _RefusedError(code, f"{error}{f'; {hint}' if hint else ''}") from None
    except (BotoCoreError, HTTPError) as error:
        raise _RefusedError("", f"the store does not answer: {error}; {_unreachable(str(error))}") from None


def _unreachable(text: str) -> str:
    if "credentials" in text:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if "CERTIFICATE_VERIFY_FAILED" in text or "SSL" in text:
        return "name your authority's file in AWS_CA_BUNDLE"
    return "check AWS_ENDPOINT_URL_S3, and that a firewall or network policy lets through"


def _note_time(store: _Store, answer: Any) -> None:
    """How far this machine's clock is from the store's, by the Date that the store answers with."""
    told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if told:
        try:
            theirs = email.utils.parsedate_to_datetime(told)
        except ValueError:
            return
        store.skew = (datetime.now(UTC) - theirs).total_seconds()
