"""Messages to a webhook: what is sent, that the address shows nowhere, and that nothing fails because of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.platform import execution, logs, notify
from components.platform.storage import store
from components.platform.tracking import runs
from components.serving import pointer
from components.stages.frame.outcome import OutcomeConfig, record_outcome

SECRET = "T000-B000-secret-path"


class Hook(BaseHTTPRequestHandler):
    """Keeps what was posted; answers with the status that its server was told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.status = [], 200
    monkeypatch.setenv(notify.WEBHOOK_VARIABLE, f"http://127.0.0.1:{server.server_port}/services/{SECRET}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_message_is_what_slack_takes(hook: Any) -> None:
    assert notify.tell("run x ended: SUCCEEDED")
    assert hook.got == [(f"/services/{SECRET}", "application/json", {"text": "run x ended: SUCCEEDED"})]


def test_without_an_address_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("", " "):
        monkeypatch.setenv(notify.WEBHOOK_VARIABLE, value)
        assert not notify.tell("x")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("status", [404, 500, 307])
def test_a_hook_that_refuses_is_a_warning_without_its_address(
    status: int, hook: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIOMED_R1_LOG_LEVEL", "debug")
    logs.configure()
    hook.status = status
    try:
        assert not notify.tell("x")
    finally:
        monkeypatch.undo()
        logs.configure()
    said = capsys.readouterr()
    assert f"no message was sent (it answered {status})" in said.err
    assert SECRET not in said.err + said.out and len(hook.got) == 1, "a redirect is not followed"


@pytest.mark.parametrize("address", [f"http://127.0.0.1:9/{SECRET}", f"ftp://x/{SECRET}", f"http://[{SECRET}"])
def test_an_address_that_leads_nowhere_raises_nothing(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(notify.WEBHOOK_VARIABLE, address)
    assert not notify.tell("x")
    said = capsys.readouterr()
    assert "no message was sent" in said.err and SECRET not in said.err + said.out


def texts(hook: Any) -> list[str]:
    return [body["text"] for _, _, body in hook.got]


def test_every_move_of_the_pointer_is_told(hook: Any, tmp_path: Path) -> None:
    """Whoever makes it: a person, a run, a deployment that went wrong."""
    one, two = (pointer.Served(version=v, uri=f"s3://b/{v}", digest=v * 64) for v in "12")

    def changed(what: pointer.What, why: str) -> pointer.Changed:
        return pointer.Changed(by="anna", at="2026-01-01T00:00:00Z", what=what, why=why)

    state = pointer.first(changed("promoted", "first"), champion=one)
    tag = pointer.move(str(tmp_path), "m", None, state)
    state = state.after(changed("rolled back", "bad answers"), champion=two)
    pointer.move(str(tmp_path), "m", tag, state)
    assert texts(hook) == [
        "m: anna at 2026-01-01T00:00:00Z promoted version 1 (first), serial 1",
        "m: anna at 2026-01-01T00:00:00Z rolled back to version 2 (bad answers), serial 2",
    ]


def test_the_end_of_a_cluster_run_is_told(hook: Any, store_uri: str) -> None:
    run = store_uri.rpartition("/")[2]
    for task in ("ingest", "compare"):
        receipt = {"stage": task, "uri": f"{store_uri}/{task}", "evidence": {}}
        store.put_json(f"{execution.receipts_uri(store_uri, run)}/{task}.json", receipt)
    store.put_json(f"{store_uri}/compare/decision.json", {"decision": "refuse"})
    record_outcome(run, "SUCCEEDED", OutcomeConfig(tasks=("ingest", "compare")))
    record_outcome(run, "FAILED", OutcomeConfig(tasks=("ingest", "sft")))
    page = runs.run_address(runs.parent_run(run))
    assert texts(hook) == [
        f"run {run} ended: SUCCEEDED, gate: refuse, {page}",
        f"run {run} ended: FAILED, gate: refuse, failed task: sft, {page}",
    ]
