"""The connection to S3: how the client is made, what its errors mean, what is asked for again. The only user of boto3.

Endpoint and credentials come from the AWS SDK's own environment variables and files. What is done with objects is in
objects.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from components.errors import InputError, UnavailableError

PARALLEL_FILES = 4
# Seconds before an answer that broke off is asked for again, then twice as long each time.
FIRST_WAIT = 0.2
_PART = 8 << 20
_MOST_PARTS = 5_000
_ABSENT = ("NoSuchKey", "404", "NoSuchBucket", "NotFound")
CONFLICT = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
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
    if not is_s3(uri) or not bucket:
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


def transfer(size: int) -> Any:
    """How a file of `size` bytes is cut into parts: S3 takes at most 10,000 of them."""
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_chunksize=max(_PART, -(-size // _MOST_PARTS)))


def is_s3(uri: str) -> bool:
    """Whether a URI names an object in S3; everything else is a path on this machine."""
    return uri.startswith("s3://")


def asked(uri: str, call: Callable[[], Result], absent: Callable[[], Result] | None = None) -> Result:
    """What the store answered; its errors as ours. `absent` gives the result where there is no such object."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        return call()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if absent is not None and code in _ABSENT:
            return absent()
        if code in CONFLICT:
            raise ConflictingWriteError from None
        if code in _REFUSED:
            raise InputError(f"{uri}: {error}; check AWS_ACCESS_KEY_ID and the bucket's policy") from None
        raise UnavailableError(f"{uri}: {error}; nothing was changed, try again") from None
    except _broken_off() as error:
        raise BrokenOffError(f"{uri}: the store's answer broke off ({error}); try again") from None
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(
            f"{uri}: {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for the embedded store, "
            "`biomed-r1 up` and leave BIOMED_R1_STORE unset"
        ) from None
    except (BotoCoreError, *_transfer_errors()) as error:
        raise UnavailableError(f"{uri}: the store did not answer ({error}); try again") from None


def _broken_off() -> tuple[type[Exception], ...]:
    """What is raised after an answer has begun, where the SDK does not ask again by itself."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError
    from botocore.parsers import ResponseParserError  # of half an XML document
    from urllib3.exceptions import HTTPError

    return (IncompleteReadError, ReadTimeoutError, ResponseStreamingError, ResponseParserError, HTTPError)


def _transfer_errors() -> tuple[type[Exception], ...]:
    from boto3.exceptions import Boto3Error
    from s3transfer.exceptions import RetriesExceededError

    return (Boto3Error, RetriesExceededError)


class BrokenOffError(UnavailableError):
    """An answer that ended before its end: asked again, it may be whole."""


class ConflictingWriteError(Exception):
    """The condition of a conditional write did not hold."""


def again(ask: Callable[[], Result], *errors: type[Exception]) -> Result:
    """What `ask` returns, asked up to four times while it raises one of `errors`.

    The SDK repeats a request that failed; an answer that broke off after it had begun is ours to ask for again.
    """
    patiently = Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_after_attempt(4),
        wait=wait_exponential_jitter(initial=FIRST_WAIT, max=5),
        reraise=True,
    )
    return patiently(ask)
