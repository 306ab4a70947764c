"""The doctor's round trip to a real S3 server, and through a proxy that refuses one thing at a time."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from certificates import certificate
from faulty_proxy import Answer, Asked, Proxy, proxy, s3_error

from components.errors import InputError
from components.platform.checks.findings import Finding, found
from components.platform.checks.object_store import check_conditions, check_store

POLICY = Path(__file__).resolve().parents[2] / "docs/policies/s3.json"
VERBS = ["S3 put", "S3 get", "S3 list", "S3 conditional put, 8 at once", "S3 conditional replacement",
         "S3 multipart upload", "S3 delete", "clock"]  # fmt: skip
Through = Callable[..., Proxy]


@pytest.fixture
def through(servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Through]:
    """Puts a proxy with these rules between the checks and the S3 server."""
    opened: list[Any] = []

    def put(*rules: Any, **options: Any) -> Proxy:
        context = proxy(servers["AWS_ENDPOINT_URL_S3"], *rules, **options)
        opened.append(context)
        server = context.__enter__()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        return server

    yield put
    for context in opened:
        context.__exit__(None, None, None)


def checked(uri: str) -> dict[str, Finding]:
    return {finding.label: finding for finding in check_store(uri)}


def levels(findings: Mapping[str, Finding]) -> dict[str, str]:
    return {label: finding.level for label, finding in findings.items() if finding.level != "ok"}


def action(asked: Asked) -> str:
    """The action of S3's policies that a request needs."""
    key = asked.path.strip("/").partition("/")[2]
    if asked.method == "GET" and not key:
        return "s3:ListBucket"
    if asked.method in ("GET", "HEAD"):
        return "s3:GetObject" if key else "s3:ListBucket"
    if asked.method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in asked.query else "s3:DeleteObject"
    return "s3:PutObject"


def refusing(*actions: str) -> Callable[[Asked], Answer | None]:
    def rule(asked: Asked) -> Answer | None:
        return s3_error(403, "AccessDenied", f"no {action(asked)}") if action(asked) in actions else None

    return rule


def enforcing(policy: Any, bucket: str, prefix: str) -> Callable[[Asked], Answer | None]:
    """Refuses what an IAM policy with BUCKET and PREFIX filled in does not allow."""
    text = json.dumps(policy).replace("BUCKET", bucket).replace("PREFIX", prefix)

    def rule(asked: Asked) -> Answer | None:
        bucket_name, _, key = asked.path.strip("/").partition("/")
        wanted = action(asked)
        resource = f"arn:aws:s3:::{bucket_name}" + (f"/{key}" if wanted != "s3:ListBucket" else "")
        for statement in json.loads(text)["Statement"]:
            fits = re.fullmatch(statement["Resource"].replace("*", ".*"), resource)
            if wanted in statement["Action"] and fits:
                patterns = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
                asked_prefix = asked.query.get("prefix", [""])[0]
                if any(re.fullmatch(p.replace("*", ".*"), asked_prefix) for p in patterns):
                    return None
        return s3_error(403, "AccessDenied", f"{wanted} on {resource}")

    return rule


def test_a_store_that_does_all_of_it_is_left_as_it_was(store_uri: str) -> None:
    from components.platform.storage import objects

    findings = checked(store_uri)
    assert list(findings) == VERBS
    assert levels(findings) == {}
    assert objects.list_files(store_uri) == []


@pytest.mark.parametrize(
    ("refused", "level", "says"),
    [
        ("s3:PutObject", {"S3 put": "failed"}, "no s3:PutObject"),
        ("s3:GetObject", {"S3 get": "failed"}, "no s3:GetObject"),
        ("s3:ListBucket", {"S3 list": "failed"}, "no s3:ListBucket"),
        ("s3:DeleteObject", {"S3 delete": "warning"}, "old checkpoints and s3://biomed-r1/"),
    ],
)
def test_a_right_that_is_missing_is_named(
    store_uri: str, through: Through, refused: str, level: dict[str, str], says: str
) -> None:
    through(refusing(refused))
    findings = checked(store_uri)
    assert levels(findings) == level
    (label,) = level
    assert says in findings[label].text and "docs/policies/s3.json" in findings[label].text


def test_the_documented_policy_is_enough_and_nothing_in_it_is_idle(store_uri: str, through: Through) -> None:
    policy = json.loads(POLICY.read_text())
    prefix = store_uri.removeprefix("s3://biomed-r1/")
    server = through(enforcing(policy, "biomed-r1", prefix))
    assert levels(checked(store_uri)) == {}
    assert not [f for f in checked(store_uri.rpartition("/")[0]).values() if f.level == "ok" and f.label == "S3 put"]
    for number, statement in enumerate(policy["Statement"]):
        less = {"Statement": [s for at, s in enumerate(policy["Statement"]) if at != number]}
        server.rules = [enforcing(less, "biomed-r1", prefix)]
        assert levels(checked(store_uri)), statement["Sid"]


def test_a_store_that_ignores_conditions_is_refused(store_uri: str, through: Through) -> None:
    def ignoring(asked: Asked) -> Answer | None:
        return Answer(200, "", {"ETag": '"x"'}) if {"if-none-match", "if-match"} & set(asked.headers) else None

    through(ignoring)
    findings = checked(store_uri)
    assert "8 of 8 writers were told that they were first" in findings["S3 conditional put, 8 at once"].text
    assert "ignores If-Match" in findings["S3 conditional replacement"].text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (s3_error(507, "InsufficientStorage", "no volume has room"), "no volume has room); the store is full"),
        (s3_error(403, "SignatureDoesNotMatch", "bad"), "check AWS_SECRET_ACCESS_KEY"),
        (s3_error(403, "InvalidToken", "malformed"), "unset AWS_SESSION_TOKEN"),
        (s3_error(404, "NoSuchBucket", "nothing here"), "nothing here; create the bucket"),
    ],
)
def test_a_refused_put_carries_the_stores_reason(store_uri: str, through: Through, answer: Answer, says: str) -> None:
    through(lambda asked: answer if asked.method == "PUT" else None)
    text = checked(store_uri)["S3 put"].text.replace("operation (reached max retries: 1)", "operation")
    assert says.replace(")", "") in text.replace(")", "")


def test_a_clock_that_is_off_is_named(store_uri: str, through: Through) -> None:
    late = formatdate(1.0e9, usegmt=True)
    server = through(lambda asked: Answer(0, headers={"Date": late}))
    assert "s ahead of the store's" in checked(store_uri)["clock"].text
    server.rules = [lambda asked: s3_error(403, "RequestTimeTooSkewed", "too far apart", Date=late)]
    findings = checked(store_uri)
    assert levels(findings) == {"S3 put": "failed", "clock": "failed"}


def test_a_private_authority_and_a_store_without_chunks(
    store_uri: str, through: Through, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS the SDK sends its checksum in a trailer, which some stores refuse."""
    pem = certificate(tmp_path)
    server = through(
        lambda asked: (
            s3_error(501, "NotImplemented", "aws-chunked")
            if "aws-chunked" in asked.headers.get("content-encoding", "")
            else None
        ),
        certificate=pem,
    )
    assert "AWS_CA_BUNDLE" in checked(store_uri)["S3 put"].text
    monkeypatch.setenv("AWS_CA_BUNDLE", pem)
    said = checked(store_uri)["S3 put"].text
    assert "set AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in said
    assert any("aws-chunked" in asked.headers.get("content-encoding", "") for asked in server.asked)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    assert levels(checked(store_uri)) == {}


def test_no_store_there_at_all(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "check AWS_ENDPOINT_URL_S3" in checked(store_uri)["S3 put"].text
    assert next(found("S3", lambda: check_store("/tmp/x"))).level == "failed"
    with pytest.raises(InputError, match="not an S3 URI"):
        list(check_store("/tmp/x"))


def test_a_store_that_lets_two_replace_one_version_is_refused(store_uri: str, through: Through) -> None:
    """Some check the condition and write in two steps; each alone it looks right."""
    lock, told = threading.Lock(), []

    def letting_two_win(asked: Asked) -> Answer | None:
        with lock:
            if "if-match" in asked.headers and len(told) < 2:
                told.append(asked.path)
                return Answer(200, "", {"ETag": '"x"'})
        return s3_error(412, "PreconditionFailed", "another was first") if "if-match" in asked.headers else None

    through(letting_two_win)
    assert "2 of 8 writers were told that they replaced one" in checked(store_uri)["S3 conditional replacement"].text
    told.clear()
    (found,) = [finding for finding in check_conditions(store_uri) if finding.level == "failed"]
    assert "ignores If-Match" in found.text
