"""`submit` and `watch` against a KFP server that keeps state and checks every request."""

from __future__ import annotations

import datetime
import re
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipelines.compile import compiled
from pipelines.settings.profile import load_profile
from pipelines.settings.training_recipe import load_training_recipe
from tests.pipelines.cluster_verbs import CANARY, SMOKE, STORED, Verb
from tests.pipelines.kfp_server import KfpServer


def submit(verb: Verb, kfp: KfpServer, *more: str) -> Any:
    return verb("submit", *SMOKE, "--host", kfp.url, *more)


def test_a_second_submit_uploads_nothing_and_starts_a_second_run(kfp: KfpServer, verb: Verb) -> None:
    first, second = submit(verb, kfp), submit(verb, kfp)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert "(uploaded)" in first.stdout
    assert "(was there)" in second.stdout
    (version,) = kfp.kept["version"]
    assert re.fullmatch(r"biomed-r1-training-[0-9a-f]{12}", version["display_name"])
    assert version["description"].startswith("recipe smoke ")
    manifest = compiled(load_training_recipe("smoke", STORED), load_profile("kind"), "manifest")
    assert f"name: {version['display_name']}\n" in manifest, "GitOps and submit mean the same version"
    assert [p["display_name"] for p in kfp.kept["pipeline"]] == ["biomed-r1-training"]
    assert [e["display_name"] for e in kfp.kept["experiment"]] == ["biomed-r1"]
    assert len({r["display_name"] for r in kfp.kept["run"]}) == 2
    assert {r["pipeline_version_reference"]["pipeline_version_id"] for r in kfp.kept["run"]} == {
        version["pipeline_version_id"]
    }
    assert kfp.kept["run"][0]["run_id"] in first.stdout


def test_a_changed_recipe_is_another_version_of_the_same_pipeline(kfp: KfpServer, verb: Verb) -> None:
    submit(verb, kfp)
    changed = submit(verb, kfp, "--set", "sft.max_steps=4", "--service-account", "biomed-r1-runner")
    again = submit(verb, kfp)
    assert "(uploaded)" in changed.stdout
    assert "(was there)" in again.stdout, "an older version is as good for a run that names it"
    assert len(kfp.kept["pipeline"]) == 1
    assert len(kfp.kept["version"]) == 2
    assert [r.get("service_account") for r in kfp.kept["run"]] == [None, "biomed-r1-runner", None]


@pytest.mark.parametrize("kind", [500, 429, "lost", "unanswered"])
@pytest.mark.parametrize("request_", ["POST /experiments", "POST /pipelines$", "upload_version", "POST /runs"])
def test_what_is_tried_again_happens_once(kfp: KfpServer, verb: Verb, request_: str, kind: Any) -> None:
    kfp.faults = [(request_, kind)]
    ended = submit(verb, kfp)
    assert ended.code == 0, ended.stderr
    assert not kfp.faults, "the fault struck"
    assert {kind: len(kept) for kind, kept in kfp.kept.items()} == {
        "experiment": 1, "pipeline": 1, "version": 1, "run": 1, "recurring": 0,
    }  # fmt: skip


def test_namespaces_where_kfp_serves_several(verb: Verb) -> None:
    server = KfpServer(multi_user=True, token=CANARY)
    missing = submit(verb, server)
    assert missing.code == 2
    assert "--namespace" in missing.stderr
    given = submit(verb, server, "--namespace", "team-a")
    assert given.code == 0, given.stderr
    assert server.kept["pipeline"][0]["namespace"] == server.kept["experiment"][0]["namespace"] == "team-a"
    assert "--namespace team-a" in given.stdout, "the line to watch it with"
    assert server.breaches == []
    server.close()


def test_a_namespace_is_refused_where_kfp_serves_one_user(kfp: KfpServer, verb: Verb) -> None:
    ended = submit(verb, kfp, "--namespace", "team-a")
    assert ended.code == 2
    assert "leave --namespace out" in ended.stderr


def test_what_could_not_be_answered_later_is_refused_before_a_run_starts(
    kfp: KfpServer, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIOMED_R1_STORE", raising=False)
    ended = submit(verb, kfp, "--wait", "--fail-on-refusal")
    assert ended.code == 2
    assert "BIOMED_R1_STORE" in ended.stderr
    assert submit(verb, kfp, "--timeout", "3").code == 2
    assert kfp.requests == []


@pytest.mark.parametrize(
    ("faults", "token", "code", "says"),
    [
        ([], "stale", 2, "no valid token: set KFP_TOKEN"),
        ([("POST /runs", 403)], CANARY, 2, "this account may not: check --namespace"),
        ([("GET /pipelines", 404)], CANARY, 2, "check the path in --host"),
        ([("POST /runs", 400)], CANARY, 2, "400 Bad Request when starting run"),
        ([("GET /experiments", 500)] * 5, CANARY, 1, "logs of the ml-pipeline service"),
        ([("POST /runs", 503)] * 5, CANARY, 1, "tried several times"),
    ],
)
def test_refusals_of_the_api_are_one_readable_line(
    kfp: KfpServer, verb: Verb, faults: Any, token: str, code: int, says: str
) -> None:
    kfp.token, kfp.faults = token, list(faults)
    ended = submit(verb, kfp)
    assert ended.code == code
    assert len(ended.stderr.splitlines()) == 1
    assert says in ended.stderr
    assert kfp.url in ended.stderr
    assert kfp.kept["run"] == []


def test_nobody_there(verb: Verb) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ended = verb("submit", *SMOKE, "--host", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert ended.code == 2
    assert "no answer when asking for its health (NewConnectionError)" in ended.stderr


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (("--profile", "local", "--host", "http://localhost:1"), "profile local: is for one machine"),
        (("--pipeline", "evaluation", "--host", "http://localhost:1"), "recipe smoke: is for --pipeline training"),
        ((), "Give --host URL or KF_PIPELINES_ENDPOINT"),
        (("--host", "https://me:secret@kfp.example"), "leave user and password out"),
        (("--host", "http://[::1"), "not an address"),
    ],
)
def test_what_cannot_be_submitted(verb: Verb, host: tuple[str, ...], says: str) -> None:
    ended = verb("submit", *SMOKE, *host)
    assert ended.code == 2
    assert says in ended.stderr
    assert "secret" not in ended.stderr


def test_a_token_that_is_none_is_not_shown(kfp: KfpServer, verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_TOKEN", f"{CANARY}\nX-Other: 1")
    ended = submit(verb, kfp)
    assert ended.code == 2
    assert "KFP_TOKEN: holds a space, a line break" in ended.stderr
    assert kfp.requests == []


def test_a_login_page_is_no_api(verb: Verb) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>Log in</html>")

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    ended = verb("submit", *SMOKE, "--host", f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    assert ended.code == 2
    assert "a login page?" in ended.stderr


def test_an_unknown_authority_is_refused_until_it_is_named(
    verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = KfpServer(token=CANARY, certificate=str(certificate(tmp_path)))
    ended = submit(verb, server)
    assert ended.code == 2
    assert "its certificate is not trusted" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert server.requests == [], "no token went to a server that is not trusted"
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    trusted = submit(verb, server)
    assert trusted.code == 0, trusted.stderr
    server.close()


def certificate(folder: Path) -> Path:
    """A PEM file with a new key and its own certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(text + signed.public_bytes(serialization.Encoding.PEM))
    return path
