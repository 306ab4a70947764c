"""An endpoint that is none: told at once, with the URL that was asked, and a retry says that it waits."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from endpoint_engine import ask, engine, one, requests
from faulty_endpoint import endpoint

from components.engines.base import Request, Sampling
from components.engines.openai import client
from components.engines.openai.client import OpenAIEngine
from components.engines.openai.config import EndpointConfig
from components.errors import StageError

PAGE = b"<!doctype html><html><head><title>Sign in</title></head></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
ASKED = r"http://127\.0\.0\.1:\d+/v1/chat/completions"


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (404, HTML, PAGE, "answered HTTP 404"),
        (404, {}, {"detail": "Not Found"}, "answered HTTP 404: Not Found"),
        (405, {}, {"detail": "Method Not Allowed"}, "answered HTTP 405: Method"),
        (200, HTML, PAGE, "answered with a web page, not with JSON"),
        (200, {}, b"  \n<html>", "answered with a web page, not with JSON"),
        (302, HTML | {"Location": "/login"}, PAGE, "a redirect to /login "),
        (302, {"Location": "https://sso.example/login?token=abc"}, b"", "a redirect to https://sso.example/login "),
        (307, {}, b"", "a redirect to nowhere"),
    ],
)
def test_what_is_no_endpoint_is_told_at_once(status: int, headers: dict[str, str], body: Any, told: str) -> None:
    with endpoint() as server:
        server.planned = [(status, headers, body)]
        with pytest.raises(StageError, match=rf"item q1: {ASKED} .*check base_url") as caught:
            one(server)
        assert told in str(caught.value) and "token=abc" not in str(caught.value)
        assert len(server.bodies) == 1


def test_a_page_from_an_endpoint_that_has_answered_is_asked_again() -> None:
    """A gateway's page for a moment is no other URL."""
    with endpoint() as server:
        made = engine(server)
        ask(made, requests(1))
        server.planned = [(200, HTML, PAGE)]
        assert ask(made, requests(1))[0].text.startswith("The answer is")


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://127.0.0.1:{closed_port()}/v1", "Connection refused"),
        ("http://no-such-host.invalid/v1", r"[Nn]ame|resol"),
        (f"https://127.0.0.1:{closed_port()}/v1/", "Connection refused"),
    ],
    ids=["http", "dns", "https"],
)
def test_no_connection_is_a_wrong_url_until_the_first_answer(
    url: str, reason: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_TRY_SECONDS", 0.3)
    made = OpenAIEngine("some-model", EndpointConfig(base_url=url))
    asked = url.rstrip("/") + "/chat/completions"
    with pytest.raises(StageError, match=rf"{asked}: the connection failed \(.*({reason}).*check base_url") as caught:
        list(made.generate([Request("item q1", (("user", "Why?"),))], Sampling(16)))
    assert "attempts" not in str(caught.value)
    assert made.budget.tokens == 0  # nothing was sent
    assert all("; attempt" in record.getMessage() for record in caplog.records) and caplog.records


def test_an_endpoint_that_goes_away_is_waited_for_like_any_failure() -> None:
    with endpoint() as server:
        made = engine(server, attempts=3)
        ask(made, requests(1))
    with pytest.raises(StageError, match="gave no answer in 3 attempts, the last: the connection failed"):
        ask(made, requests(1))


def test_a_retry_says_that_it_waits_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with endpoint() as server:
        server.planned = [(503, {"Retry-After": "0.2"}, {"error": {"code": "overloaded", "message": "later"}})] * 2
        one(server)
        (record,) = caplog.records  # one line a second at most
        assert record.getMessage().startswith(
            f"127.0.0.1:{server.server_address[1]}: HTTP 503 overloaded; attempt 1 of 30,"
        )
        assert record.getMessage().endswith(" s") and "the next in 0.2" in record.getMessage()
