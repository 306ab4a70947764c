"""What servers send back, from real ones' habits: codes, ends, escapes, and the key where it does not belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from endpoint_engine import ask, engine, one, requests
from faulty_endpoint import completion, endpoint

from components.engines import answers
from components.engines.base import Sampling
from components.engines.openai.completion import cleaner
from components.errors import StageError
from components.platform.storage.journal import Journal

SLASHED = "sk-ab/cdSECRET"


def said(text: str, **changes: Any) -> dict[str, Any]:
    return completion({"messages": []}, message={"content": text}, **changes)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 502])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with endpoint() as server:
        server.planned = [(status, {"Retry-After": "0.3"}, {"error": {"message": "later"}})]
        assert one(server).text.startswith("The answer is")
        assert len(server.bodies) == 2 and server.times[1] - server.times[0] >= 0.3


@pytest.mark.parametrize(
    ("reason", "text", "expected"),
    [
        ("eos", "It is B.", "stop"),
        ("end_turn", "It is B.", "stop"),
        ("COMPLETE", "It is B.", "stop"),
        (None, "It is B.", "stop"),
        # A name for the end of the turn says so without a text too; a model may end it right after an opening.
        ("eos_token", "", "stop"),
        ("max_tokens", "It is", "length"),
        ("model_length", "It is", "length"),
    ],
)
def test_each_hosts_name_for_the_end(reason: str | None, text: str, expected: str) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, said(text, finish_reason=reason))]
        answer = one(server)
        assert (answer.text, answer.finish_reason, len(server.bodies)) == (text, expected, 1)


def test_an_answer_without_a_reason_to_end_is_an_answer() -> None:
    with endpoint() as server:
        value = said("It is B.")
        del value["choices"][0]["finish_reason"]
        server.planned = [(200, {}, value)]
        assert (one(server).text, len(server.bodies)) == ("It is B.", 1)


@pytest.mark.parametrize(
    ("reason", "text"),
    [("abort", "It i"), ("error", "It i"), ("insufficient_system_resource", "It i"), (None, ""), ("odd", ""), (7, "B")],
)
def test_what_a_server_broke_off_is_asked_for_again(reason: Any, text: str) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, said(text, finish_reason=reason))]
        assert one(server).text.startswith("The answer is")
        assert len(server.bodies) == 2


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation", "invalid_prompt"])
def test_a_question_that_a_filter_refuses_is_answered_by_nothing(code: str, tmp_path: Path) -> None:
    todo = requests(3)
    with endpoint() as server:
        refusal = {"error": {"message": "filtered", "type": None, "param": "prompt", "code": code, "status": 400}}
        server.planned = [(400, {}, refusal)]
        journal = Journal(str(tmp_path), "k" * 64)
        made = engine(server, concurrency=1, max_total_tokens=2000)
        got = answers.ask(made, todo, Sampling(16), journal).generations
        assert [(a.text, a.finish_reason) for a in got[:1]] == [("", "content_filter")]
        assert all(a.text and a.finish_reason == "stop" for a in got[1:])
        # Nobody says what it cost.
        assert made.budget.tokens > server.tokens
        assert answers.ask(engine(server), todo, Sampling(16), journal).resumed == 3 and len(server.bodies) == 3


@pytest.mark.parametrize(
    ("status", "code"), [(400, "context_length_exceeded"), (400, 400), (403, "content_filter"), (400, None)]
)
def test_any_other_refusal_ends_the_run_and_names_the_item(status: int, code: Any) -> None:
    with endpoint() as server:
        server.planned = [(status, {}, {"error": {"message": "no", "code": code}})]
        with pytest.raises(StageError, match=rf"item q1: .*HTTP {status}"):
            one(server)


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    """A table's texts are UTF-8, which has no half of a pair."""
    with endpoint() as server:
        value = said("It is B \ud83d", model="m\ude00")
        value["choices"][0]["message"]["reasoning_content"] = "\ud83d"
        server.planned = [(200, {}, value), (200, {}, said("\ude00 \ud83d\ude00"))]
        made = engine(server, concurrency=1)
        assert [a.text for a in ask(made, requests(2))] == ["It is B \ufffd", "\ufffd 😀"]
        assert made.notes["reported_models"] == ["None-2025-01-31", "m\ufffd"]


ESCAPED = {
    "plain": SLASHED,
    "solidus": SLASHED.replace("/", "\\/"),
    "every character by its number": "".join(f"\\u{ord(c):04X}" for c in SLASHED),
    "one by its number": SLASHED.replace("S", "\\u0053"),
    "quoted from another server's JSON": SLASHED.replace("/", "\\\\/"),
    "quoted by its number": SLASHED.replace("/", "\\\\u002f"),
}


@pytest.mark.parametrize("written", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("status", [200, 401])
def test_no_escape_hides_the_key(written: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SLASHED)
    value = said("My key is KEY, not another.") if status == 200 else {"error": {"message": "bad KEY.", "code": "KEY"}}
    with endpoint() as server:
        server.planned = [(status, {}, json.dumps(value).replace("KEY", written).encode())]
        if status == 200:
            assert one(server).text == "My key is ***, not another."
            return
        with pytest.raises(StageError, match=r"HTTP 401 \*\*\*: bad \*\*\*\. \(check the key") as caught:
            one(server)
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("key", ["none", "token", "EMPTY", "a", "stop"])
def test_a_short_key_is_no_secret(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers without keys are given any word: taking it out would change answers, or break their counts."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    text = f"a {key} of the above"
    with endpoint() as server:
        server.planned = [(200, {}, said(text)), (400, {}, {"error": {"message": f"{text}, see prompt_tokens"}})]
        answer = one(server)
        assert (answer.text, answer.finish_reason) == (text, "stop") and answer.prompt_tokens > 0
        with pytest.raises(StageError, match=rf"{text}, see prompt_tokens"):
            one(server)


def test_the_names_in_a_reply_are_not_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "prompt_tokens")
    with endpoint() as server:
        server.planned = [(200, {}, said("A secret: prompt_tokens"))]
        answer = one(server)
        assert answer.text == "A secret: ***" and answer.prompt_tokens > 0


def test_backslashes_without_end_are_no_trap() -> None:
    text = "\\" * 200_000
    assert cleaner(SLASHED)(text) == text


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null", b"[" * 100_000])
@pytest.mark.parametrize("status", [200, 500])
def test_a_body_of_another_shape_is_asked_for_again(body: bytes, status: int) -> None:
    with endpoint() as server:
        server.planned = [(status, {}, body)]
        assert one(server).text.startswith("The answer is")
        assert len(server.bodies) == 2


BLOCKS = [
    ([{"type": "text", "text": "It is "}, {"type": "text", "text": "B."}], "It is B."),
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "It is A."}]}, {"type": "text", "text": "B"}], "B"),
    ([{"type": "reasoning", "text": "It is A."}, {"type": "output_text", "text": "B"}], "B"),
    ([{"type": "text", "text": "It is A.", "thought": True}, {"text": "B"}], "B"),
    ([{"type": "image_url", "image_url": {}}, "B", 7, None, {"type": "text", "text": {"value": " it is"}}], "B it is"),
    ({"type": "text", "text": "B"}, "B"),
    ([{"type": "thinking", "thinking": "It is A."}], ""),
    ([], ""),
]


@pytest.mark.parametrize(("content", "text"), BLOCKS)
def test_content_in_blocks_is_its_texts_and_no_thought(content: Any, text: str) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, message={"content": content}))]
        assert (one(server).text, len(server.bodies)) == (text, 1)


@pytest.mark.parametrize(
    ("choice", "finish"),
    [
        ({"finish_reason": "content_filter", "message": {"role": "assistant"}}, "content_filter"),  # Azure
        ({"finish_reason": "content_filter", "content_filter_results": {}}, "content_filter"),
        ({"finish_reason": "length", "message": {"role": "assistant"}}, "length"),  # Gemini
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "content_filter: PROHIBITED_CONTENT", "message": None}, "content_filter"),
        ({"finish_reason": "SAFETY", "message": {"content": None}}, "content_filter"),
        ({"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": []}}, "stop"),
        ({"finish_reason": "stop", "message": {"refusal": "I cannot."}}, "stop"),
    ],
)
def test_a_message_without_a_text_is_asked_for_once(choice: dict[str, Any], finish: str) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, choices=[choice]))]
        answer = one(server)
        assert (answer.text, answer.finish_reason, len(server.bodies)) == ("", finish, 1)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (completion({"messages": []}, choices=[]), "a completion with an empty list of `choices`"),
        ({"choices": None}, "a completion with an empty list of `choices`"),
        ({"error": {"message": "no room", "code": 502}}, "an error in the place of an answer: 502 no room"),
        ({"status": "ok"}, "an answer that is cut off, or a completion without `choices`"),
        (completion({"messages": []}, choices=[{"message": {}}]), "a completion that ended with None and has no text"),
    ],
)
def test_what_never_becomes_an_answer_is_named(body: Any, told: str) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, body)] * 3
        with pytest.raises(StageError, match=r"item q1: .* no answer in 3 attempts") as caught:
            one(server, attempts=3)
        assert told in str(caught.value) and len(server.bodies) == 3
