"""The endpoint engine against a server that refuses, fails, hangs and hangs up by a seeded schedule."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from endpoint_engine import ask, engine, one, requests
from faulty_endpoint import asked, completion, endpoint

from components.engines.base import Request, Sampling
from components.engines.openai.client import RECONSIDER, OpenAIEngine
from components.engines.openai.completion import retry_after
from components.engines.openai.config import EndpointConfig
from components.errors import InputError, StageError
from components.platform.config import parse_config

CANARY = "sk-canary-5f1d9c7a"


@pytest.mark.parametrize("seed", [1, 2])
def test_every_item_is_answered_once_whatever_the_endpoint_does(seed: int) -> None:
    with endpoint() as sound:
        expected = ask(engine(sound), requests())
        assert len(sound.bodies) == 40
    with endpoint(seed=seed, fault_rate=0.5) as server:
        made = engine(server)
        assert ask(made, requests()) == expected
        assert min(server.faults[name] for name in ("429", "500", "hang", "cut")) > 0
        assert server.answered == {asked(body): 1 for body in server.bodies}
        assert made.notes == {"requests": len(server.bodies), "reported_models": ["some-model-2025-01-31"]}


def test_no_more_requests_under_way_than_asked_for() -> None:
    with endpoint() as server:
        server.delay = 0.02
        ask(engine(server, concurrency=3, timeout_seconds=5), requests(24))
        assert server.most_under_way == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_pass_is_not_tried_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with endpoint() as server:
        server.planned = [(status, {}, {"error": {"message": "no such thing", "code": "bad"}})]
        hint = "SOME_KEY, which is not set" if status in (401, 403) else "prefill_mode"
        with pytest.raises(StageError, match=f"item q1: .*HTTP {status} bad: no such thing.*{hint}"):
            one(server, api_key_env="SOME_KEY")
        assert len(server.bodies) == 1


def test_attempts_end() -> None:
    with endpoint() as server:
        server.planned = [(503, {}, {})] * 3
        with pytest.raises(StageError, match=r"item q1: .*no answer in 3 attempts, the last: HTTP 503"):
            one(server, attempts=3)
        assert len(server.bodies) == 3


def test_an_empty_account_is_no_reason_to_wait() -> None:
    with endpoint() as server:
        server.planned = [(429, {}, {"error": {"message": "pay first", "code": "insufficient_quota"}})]
        with pytest.raises(StageError, match="pay first"):
            one(server)
        assert len(server.bodies) == 1


def test_retry_after_is_honoured_by_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other worker's first request is under way until this one's wait has been told; then both rest."""
    with endpoint() as server:
        server.planned = [(429, {"Retry-After": "0.4"}, {})]
        server.stop_after = 1
        server.open.clear()
        told = OpenAIEngine._tell

        def tell(self: OpenAIEngine, *arguments: Any) -> None:
            told(self, *arguments)
            server.open.set()

        monkeypatch.setattr(OpenAIEngine, "_tell", tell)
        ask(engine(server, concurrency=2, timeout_seconds=60), requests(6))
        assert len(server.bodies) == 7
        # However slow the machine is, a rest is at least as long as was asked for.
        assert min(server.times[2:]) - server.times[0] >= 0.4


def test_a_rest_of_an_hour_ends_the_run() -> None:
    with endpoint() as server:
        server.planned = [(429, {"Retry-After": "3600"}, {})]
        with pytest.raises(StageError, match="come back in 3600 s"):
            one(server)
        assert len(server.bodies) == 1


def test_retry_after_is_seconds_or_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert 0 < retry_after(format_datetime(later, usegmt=True)) <= 90
    assert [retry_after(text) for text in ("7", "1.5", "-3", "", "soon")] == [7.0, 1.5, 0.0, 0.0, 0.0]


def test_an_opening_in_two_turns() -> None:
    with endpoint() as server:
        one(server, "Perhaps A.")
        assert [(m["role"], m["content"]) for m in server.bodies[0]["messages"]] == [
            ("user", "Why?"),
            ("assistant", "Perhaps A."),
            ("user", RECONSIDER),
        ]
        assert "continue_final_message" not in server.bodies[0]
        assert "two_turn:" in engine(server).version


def test_an_opening_that_the_endpoint_continues() -> None:
    with endpoint() as server:
        body = {"messages": [{"role": "user", "content": "Why?"}]}
        server.planned = [(200, {}, completion(body, message={"content": "Perhaps A. No, B."}))]
        answer = one(server, "Perhaps A.", prefill_mode="continued")
        assert answer.text == " No, B."  # the server sent the whole turn
        sent = server.bodies[0]
        assert sent["messages"][-1] == {"role": "assistant", "content": "Perhaps A."}
        assert (sent["add_generation_prompt"], sent["continue_final_message"]) == (False, True)
        one(server, prefill_mode="continued")
        assert "continue_final_message" not in server.bodies[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"message": {"reasoning_content": "It must be A.", "content": "B"}}, ("B", "stop")),
        ({"message": {"reasoning": "The answer is A.", "content": None}, "finish_reason": "length"}, ("", "length")),
        ({"message": {"content": ""}, "finish_reason": "content_filter"}, ("", "content_filter")),
    ],
)
def test_thinking_is_no_answer(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, **changes))]
        answer = one(server)
        assert (answer.text, answer.finish_reason) == expected


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"error": {"message": "overloaded"}},
        completion({"messages": []}, finish_reason="abort"),
        completion({"messages": []}, choices=[]),
    ],
)
def test_a_completion_without_an_answer_is_asked_for_again(broken: dict[str, Any]) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, broken)]
        assert one(server).text.startswith("The answer is")
        assert len(server.bodies) == 2


def test_what_is_sent_is_what_the_configuration_says() -> None:
    with endpoint() as server:
        request = Request("item q1", (("user", "Why?"),), seed=5)
        ask(engine(server), [request], Sampling(16))
        ask(engine(server), [request], Sampling(16, temperature=0.7, top_p=0.9))
        changes = {"token_parameter": "max_completion_tokens", "send_sampling": False}
        ask(engine(server, **changes, extra_body={"reasoning_effort": "low"}), [request], Sampling(16))
        common = {"model": "some-model", "messages": [{"role": "user", "content": "Why?"}], "stream": False, "n": 1}
        assert server.bodies == [
            {**common, "max_tokens": 16, "temperature": 0.0},
            {**common, "max_tokens": 16, "temperature": 0.7, "top_p": 0.9, "seed": 5},
            {**common, "max_completion_tokens": 16, "reasoning_effort": "low"},
        ]


def test_the_key_goes_to_the_endpoint_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    with endpoint(seed=5, fault_rate=0.4) as server:
        made = engine(server, api_key_env="SOME_KEY")
        server.remark = f" My key is {CANARY}."
        answers = ask(made, requests(12))
        assert {headers["authorization"] for headers in map(_lower, server.headers)} == {f"Bearer {CANARY}"}
        refusal = {"error": {"message": f"Incorrect API key provided: {CANARY}", "code": CANARY}}
        server.planned, server.fault_rate = [(401, {}, refusal)], 0.0
        with pytest.raises(StageError, match=r"Incorrect API key provided: \*\*\*") as caught:
            ask(made, requests(1))
    told = [str(caught.value), repr(caught.value), caplog.text, *capfd.readouterr(), repr(answers), repr(vars(made))]
    assert caplog.records and not [text for text in told if CANARY in text]


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("key", [f"{CANARY}\nX-Other: 1", f"{CANARY} x", f"{CANARY}ü"])
def test_a_key_that_no_header_carries_is_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", key)
    with endpoint() as server, pytest.raises(InputError, match="SOME_KEY: holds characters") as caught:
        one(server, api_key_env="SOME_KEY")
    assert CANARY not in str(caught.value) and not server.bodies


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": f"https://me:{CANARY}@example.org/v1"},
        {"base_url": f"https://example.org/v1?key={CANARY}"},
        {"base_url": f"{CANARY}.example.org"},
        {"api_key_env": CANARY},
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_shown(fields: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(EndpointConfig, fields, "evaluate")
    assert CANARY not in str(caught.value)


def test_the_request_is_the_engines_own() -> None:
    with pytest.raises(InputError, match=r"extra_body: .*sets messages"):
        parse_config(EndpointConfig, {"extra_body": {"messages": []}}, "evaluate")


def test_an_endpoint_needs_a_name() -> None:
    with pytest.raises(InputError, match="base_url: missing"):
        OpenAIEngine("some-model", EndpointConfig())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://host.example/v1/dep-A", "https://host.example/v1/dep-A"),
        ("https://host.example/v1/dep-B/", "https://host.example/v1/dep-B"),
        ("http://HOST.example:8000/v1", "http://host.example:8000/v1"),
        ("https://host.example:443/v1", "https://host.example/v1"),
        ("http://[::1]:8000/a%2Fb", "http://[::1]:8000/a%2Fb"),
    ],
)
def test_another_path_is_another_endpoint(url: str, address: str) -> None:
    """Answers that are kept are taken over only from an engine of the same version."""
    made = OpenAIEngine("some-model", EndpointConfig(base_url=url))
    assert made.version.split()[:2] == ["openai", address]


def test_an_address_is_told_without_what_may_be_secret() -> None:
    config = EndpointConfig.model_construct(base_url=f"https://me:{CANARY}@example.org/v1?key={CANARY}")
    made = OpenAIEngine("some-model", config)
    assert made.version.split()[1] == "https://example.org/v1" and CANARY not in made.host


def test_an_address_that_is_none() -> None:
    with pytest.raises(InputError, match="base_url: is not"):
        OpenAIEngine("some-model", EndpointConfig(base_url="http://host.example:port/v1"))


class Careless(OpenAIEngine):
    """Loses the space at an opening's end, as some chat templates do."""

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        body = super()._body(request, sampling)
        body["messages"][-1]["content"] = body["messages"][-1]["content"].rstrip()
        return body


def test_an_opening_that_would_not_be_continued_as_it_is_is_not_sent() -> None:
    todo = [Request("item q1", (("user", "Why? "),), opening) for opening in ("Perhaps A", "Perhaps A. ")]
    with endpoint() as server:
        made = Careless("some-model", EndpointConfig(base_url=server.url, prefill_mode="continued", concurrency=1))
        with pytest.raises(StageError, match=r"item q1: the messages do not end with its opening"):
            ask(made, todo)
        assert len(server.bodies) == 1
