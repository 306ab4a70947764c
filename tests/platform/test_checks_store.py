"""The doctor's round trip to a real S3 server, and through a proxy that refuses one thing at a time."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from certificates import certificate
from faulty_proxy import Answer, Asked, Proxy, proxy, s3_error

from components.errors import InputError
from components.platform.checks.findings import Finding, found
from components.platform.checks.object_store import check_conditions, check_store
from components.platform.storage import objects, s3, store

POLICY = Path(__file__).resolve().parents[2] / "docs/policies/s3.json"
VERBS = ["S3 put", "S3 get", "S3 get of what is not there", "S3 list", "S3 conditional put, 8 at once",
         "S3 conditional replacement", "S3 multipart upload", "S3 delete", "clock"]  # fmt: skip
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


@pytest.fixture
def upstream(servers: Mapping[str, str]) -> Any:
    """A client of the S3 server itself, beside any proxy."""
    return boto3.client("s3", endpoint_url=servers["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")


@pytest.fixture
def objects_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The storage layer's clients keep the address they were made with."""
    monkeypatch.setattr(objects, "_KEPT", set())
    s3.client.cache_clear()
    yield
    s3.client.cache_clear()


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


def enforcing(policy: Any, bucket: str, prefix: str, upstream: Any) -> Callable[[Asked], Answer | None]:
    """Refuses what an IAM policy with BUCKET and PREFIX filled in does not allow.

    As AWS does: who may not list the bucket, in a request that names no prefix, hears 403 of what is not there.
    """
    text = json.dumps(policy).replace("BUCKET", bucket).replace("PREFIX", prefix)

    def allowed(wanted: str, resource: str, asked_prefix: str | None) -> bool:
        for statement in json.loads(text)["Statement"]:
            named = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            if wanted not in statement["Action"] or not any(
                re.fullmatch(own.replace("*", ".*"), resource) for own in named
            ):
                continue
            conditions = [(test, p) for test, of in statement.get("Condition", {}).items() for p in of["s3:prefix"]]
            fitting = [
                test == "StringLikeIfExists"
                if asked_prefix is None
                else re.fullmatch(p.replace("*", ".*"), asked_prefix)
                for test, p in conditions
            ]
            if not conditions or any(fitting):
                return True
        return False

    def rule(asked: Asked) -> Answer | None:
        bucket_name, _, key = asked.path.strip("/").partition("/")
        wanted, whole = action(asked), f"arn:aws:s3:::{bucket_name}"
        resource = whole + (f"/{key}" if wanted != "s3:ListBucket" else "")
        if not allowed(wanted, resource, asked.query.get("prefix", [None])[0]):
            return s3_error(403, "AccessDenied", f"{wanted} on {resource}")
        if wanted == "s3:GetObject" and not allowed("s3:ListBucket", whole, None):
            try:
                upstream.head_object(Bucket=bucket_name, Key=key)
            except ClientError:
                return s3_error(403, "AccessDenied", f"{wanted} on {resource}")
        return None

    return rule


def test_a_store_that_does_all_of_it_is_left_as_it_was(store_uri: str) -> None:
    findings = checked(store_uri)
    assert list(findings) == VERBS
    assert levels(findings) == {}
    assert objects.list_files(store_uri) == []


@pytest.mark.parametrize(
    ("refused", "level", "says"),
    [
        ("s3:PutObject", {"S3 put": "failed"}, "no s3:PutObject"),
        (
            "s3:GetObject",
            dict.fromkeys(("S3 get", "S3 get of what is not there"), "failed"),
            "no s3:GetObject",
        ),
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
    label = next(iter(level))
    assert says in findings[label].text and "docs/policies/s3.json" in findings[label].text


def test_the_documented_policy_is_enough_and_nothing_in_it_is_idle(
    store_uri: str, through: Through, upstream: Any
) -> None:
    policy = json.loads(POLICY.read_text())
    prefix = store_uri.removeprefix("s3://biomed-r1/")
    server = through(enforcing(policy, "biomed-r1", prefix, upstream))
    assert levels(checked(store_uri)) == {}
    assert not [f for f in checked(store_uri.rpartition("/")[0]).values() if f.level == "ok" and f.label == "S3 put"]
    strict = json.loads(POLICY.read_text().replace("StringLikeIfExists", "StringLike"))
    server.rules = [enforcing(strict, "biomed-r1", prefix, upstream)]
    findings = checked(store_uri)
    assert levels(findings) == {"S3 get of what is not there": "failed"}
    assert "allow s3:ListBucket without a condition" in findings["S3 get of what is not there"].text
    for number, statement in enumerate(policy["Statement"]):
        less = {"Statement": [s for at, s in enumerate(policy["Statement"]) if at != number]}
        server.rules = [enforcing(less, "biomed-r1", prefix, upstream)]
        assert levels(checked(store_uri)), statement["Sid"]


def test_a_run_gets_along_with_the_documented_policy(
    store_uri: str, through: Through, upstream: Any, tmp_path: Path, objects_client: None
) -> None:
    """All that the storage layer asks: the first look, objects, conditions, folders, parts, lists, deletes."""
    prefix = store_uri.removeprefix("s3://biomed-r1/")
    through(enforcing(json.loads(POLICY.read_text()), "biomed-r1", prefix, upstream))
    store.check(store_uri)
    assert objects.get_json(f"{store_uri}/none.json") is None and objects.list_children(store_uri) == []
    assert objects.create_json(f"{store_uri}/a.json", 1) and not objects.create_json(f"{store_uri}/a.json", 2)
    value, etag = objects.read_json(f"{store_uri}/a.json")
    assert value == 1 and objects.replace_json(f"{store_uri}/a.json", 2, etag)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"x" * (9 << 20))  # two parts
    store.put_dir(tmp_path / "model", f"{store_uri}/m", stage="sft", key="k")
    store.get_dir(f"{store_uri}/m", tmp_path / "back")
    store.delete_prefix(f"{store_uri}/m")
    assert store.list_files(store_uri) == ["a.json"]
    with pytest.raises(InputError, match=r"AccessDenied.*s3:ListBucket on arn:aws:s3:::biomed-r1"):
        store.check("s3://biomed-r1/elsewhere")


def test_what_may_not_be_deleted_stays_and_the_training_goes_on(
    store_uri: str, through: Through, tmp_path: Path, objects_client: None, caplog: pytest.LogCaptureFixture
) -> None:
    from components.training.checkpoints import Checkpoints

    through(refusing("s3:DeleteObject"))
    kept = Checkpoints(f"{store_uri}/sft", "sft", "k")
    for step in (1, 2, 3):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_text(str(step))
        kept.put(folder, step)
    found = kept.newest(tmp_path / "work")
    assert found is not None and found[1] == 3
    # Two are kept and the oldest should have gone.
    names = [name for name in objects.list_children(f"{store_uri}/sft/k") if name.startswith("checkpoint")]
    assert names == ["checkpoint-1-1", "checkpoint-2-1", "checkpoint-3-1"]
    assert caplog.text.count("what a run would delete stays; a lifecycle rule can expire it") == 1
    assert "no s3:DeleteObject" in caplog.text


def test_a_training_asks_for_its_checkpoints_before_its_first_step(
    store_uri: str, through: Through, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from pipelines.cli import training

    (tmp_path / "mix.parquet").write_bytes(b"is never read")
    given = ["--mix", tmp_path / "mix.parquet", "--model", tmp_path, "--checkpoints", f"{store_uri}/c", "--out", "out"]
    server = through(refusing("s3:PutObject"))
    for verb in (training.sft_command, training.grpo_command):
        done = CliRunner().invoke(verb, [str(word) for word in given])
        assert isinstance(done.exception, InputError)
        assert str(done.exception).startswith(f"--checkpoints {store_uri}/c: S3 put: ")
    server.rules.clear()
    training._check_checkpoints(f"{store_uri}/c")
    training._check_checkpoints(str(tmp_path))


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
    text = checked(store_uri)["S3 put"].text.replace("operation (reached max retries: 3)", "operation")
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


def test_an_answer_that_breaks_off_is_asked_for_again_and_told_when_it_always_does(
    store_uri: str, through: Through
) -> None:
    reads = []

    def cutting(asked: Asked) -> Answer | None:
        if action(asked) == "s3:GetObject":
            reads.append(asked)
            return Answer(0, cut=len(reads) % 3 > 0)
        return None

    server = through(cutting)
    assert levels(checked(store_uri)) == {} and len(reads) >= 3
    server.rules = [lambda asked: Answer(0, cut=True) if action(asked) == "s3:GetObject" else None]
    assert "the store does not answer" in checked(store_uri)["S3 get"].text


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
