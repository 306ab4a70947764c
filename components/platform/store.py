"""Directories in an object store: a manifest, written last, makes one exist (the only user of boto3).

Every function takes a URI that is `s3://bucket/prefix/...` or a local folder, with the same meaning. Endpoint and
credentials come from the AWS SDK's own environment variables.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import InputError
from components.platform import faults
from components.platform.lineage import git_revision

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
PARALLEL_FILES = 4
_HASH_CHUNK = 1 << 20


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """sha256 over the paths and contents of a directory: equal for equal directories, whenever they were written."""
    entries = sorted((f["path"], f["sha256"]) for f in manifest["files"])
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def put_dir(
    folder: Path,
    uri: str,
    *,
    stage: str,
    key: str,
    inputs: Sequence[tuple[str, str]] = (),
    code: str = "",
) -> dict[str, Any]:
    """Upload every file below `folder` in parallel, then the manifest; returns the manifest.

    `inputs` are (uri or name, digest) pairs, `code` the digest of the stage's code. Raises InputError for a link.
    """
    paths = sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())
    for path in paths:
        if path.is_symlink():
            raise InputError(f"{path}: is a link; only plain files can be stored")
    names = [p.relative_to(folder).as_posix() for p in paths]

    def upload(path: Path, name: str) -> dict[str, Any]:
        faults.point("upload")
        _put_file(path, f"{uri}/{name}")
        return {"path": name, "size": path.stat().st_size, "sha256": file_sha256(path)}

    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        files = list(pool.map(upload, paths, names))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "stage": stage,
        "key": key,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "code": code,
        "git_revision": git_revision(),
        "inputs": [list(pair) for pair in inputs],
        "files": files,
    }
    faults.point("manifest")
    put_json(f"{uri}/{MANIFEST}", manifest)
    return manifest


def read_manifest(uri: str) -> dict[str, Any] | None:
    """The manifest of a directory, or None where there is none; raises InputError for one that cannot be trusted."""
    manifest = get_json(f"{uri}/{MANIFEST}")
    if manifest is None:
        return None
    where = f"{uri}/{MANIFEST}"
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), list):
        raise InputError(f"{where}: not a manifest; write the directory again")
    if manifest.get("schema_version", 0) > SCHEMA_VERSION:
        raise InputError(f"{where}: schema_version {manifest['schema_version']}: upgrade biomed-r1 to read it")
    for entry in manifest["files"]:
        name = str(entry.get("path", ""))
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
            raise InputError(f"{where}: path {name!r}: leads out of the directory; refused")
    return manifest


def exists(uri: str) -> bool:
    return read_manifest(uri) is not None


def get_dir(uri: str, folder: Path) -> dict[str, Any]:
    """Download a directory and verify every byte; returns its manifest.

    `folder` appears only when complete. Raises InputError where there is no manifest or a file differs from it.
    """
    manifest = read_manifest(uri)
    if manifest is None:
        raise InputError(f"{uri}: no {MANIFEST}: nothing complete was stored there")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()

    def download(entry: Mapping[str, Any]) -> None:
        source, target = f"{uri}/{entry['path']}", partial / entry["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _get_file(source, target):
            raise InputError(f"{source}: missing, although the manifest lists it; store the directory again")
        if target.stat().st_size != entry["size"] or file_sha256(target) != entry["sha256"]:
            raise InputError(f"{source}: differs from its manifest (size or sha256); it is damaged, store it again")

    try:
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            list(pool.map(download, manifest["files"]))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def get_file(uri: str, name: str, path: Path) -> None:
    """Fetch one file of a stored directory and verify it; raises InputError as `get_dir` does."""
    manifest = read_manifest(uri)
    entry = next((f for f in (manifest or {}).get("files", []) if f["path"] == name), None)
    if entry is None:
        raise InputError(f"{uri}: its {MANIFEST} is missing or lists no {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    if not _get_file(f"{uri}/{name}", partial) or file_sha256(partial) != entry["sha256"]:
        partial.unlink(missing_ok=True)
        raise InputError(f"{uri}/{name}: differs from its manifest or is missing; store the directory again")
    os.replace(partial, path)


def put_json(uri: str, value: Any) -> None:
    body = json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()
    if not uri.startswith("s3://"):
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
        partial.write_bytes(body)
        os.replace(partial, path)
        return
    bucket, key = _split(uri)
    _client().put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def get_json(uri: str) -> Any:
    """The JSON value of an object, or None where there is none; raises InputError for one that is not JSON."""
    if uri.startswith("s3://"):
        bucket, key = _split(uri)
        try:
            body = _client().get_object(Bucket=bucket, Key=key)["Body"].read()
        except _client().exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404", "NoSuchBucket"):
                return None
            raise InputError(f"{uri}: {error}; check AWS_ACCESS_KEY_ID and the bucket's policy") from None
    elif Path(uri).is_file():
        body = Path(uri).read_bytes()
    else:
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise InputError(f"{uri}: not JSON ({error})") from None


def list_children(uri: str) -> list[str]:
    """Names directly below a URI (folders and files), sorted."""
    if not uri.startswith("s3://"):
        return sorted(p.name for p in Path(uri).iterdir()) if Path(uri).is_dir() else []
    bucket, key = _split(uri.rstrip("/") + "/")
    names = set()
    for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key, Delimiter="/"):
        names |= {p["Prefix"][len(key) :].rstrip("/") for p in page.get("CommonPrefixes", [])}
        names |= {o["Key"][len(key) :] for o in page.get("Contents", [])}
    return sorted(names - {""})


def list_files(uri: str) -> list[str]:
    """Paths of every file below a URI, relative to it, sorted."""
    if not uri.startswith("s3://"):
        return sorted(p.relative_to(uri).as_posix() for p in Path(uri).rglob("*") if p.is_file())
    bucket, prefix = _split(uri.rstrip("/") + "/")
    pages = _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", []))


def delete_prefix(uri: str) -> None:
    """Delete a directory, its manifest first, so that a half-deleted one does not exist."""
    if not uri.startswith("s3://"):
        (Path(uri) / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(uri, ignore_errors=True)
        return
    bucket, prefix = _split(uri.rstrip("/") + "/")
    for name in (MANIFEST, *list_files(uri)):
        _client().delete_object(Bucket=bucket, Key=prefix + name)


def check(uri: str) -> None:
    """Raise InputError, within about 8 s, unless the bucket of `uri` can be reached and listed."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _ = _split(uri)
    try:
        _client(quick=True).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "AWS")
        raise InputError(
            f"BIOMED_R1_STORE={uri}: S3 at {endpoint} does not answer for bucket {bucket!r} ({error}); "
            "check AWS_ENDPOINT_URL_S3, the credentials and that the bucket exists"
        ) from None


def _put_file(path: Path, uri: str) -> None:
    if not uri.startswith("s3://"):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, uri)
        return
    bucket, key = _split(uri)
    _client().upload_file(str(path), bucket, key)


def _get_file(uri: str, path: Path) -> bool:
    if not uri.startswith("s3://"):
        if not Path(uri).is_file():
            return False
        shutil.copyfile(uri, path)
        return True
    bucket, key = _split(uri)
    try:
        _client().download_file(bucket, key, str(path))
    except _client().exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return False
        raise
    return True


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InputError(f"{uri!r}: not an S3 URI; write s3://BUCKET/PREFIX")
    return bucket, key


@lru_cache(maxsize=2)
def _client(quick: bool = False) -> Any:
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
