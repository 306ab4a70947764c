"""The smoke test against the real endpoint: the registered weights pass, finite but wrong ones and others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from own_endpoint import served
from smoke_models import ITEMS, damaged

from components.errors import DamagedError, InputError
from components.platform.storage import objects
from components.serving.deploy import smoke
from components.serving.endpoint.writer import Writer

URI = "s3://bucket/models/one"


@pytest.fixture(scope="module")
def recorded(tiny_model: Path) -> dict[str, Any]:
    return smoke.record(tiny_model, ITEMS, dtype="float32", max_new_tokens=12)


def test_the_registered_weights_pass_and_others_do_not(
    tiny_model: Path, recorded: dict[str, Any], tmp_path: Path
) -> None:
    with served(Writer(tiny_model, "float32"), "biomed-r1", URI) as url:
        assert smoke.check(url, URI, recorded) == []
        assert smoke.check(url, "s3://bucket/other", recorded) == [
            f"{url} serves biomed-r1, {URI}, not s3://bucket/other"
        ]
        lettered = {**recorded, "questions": [{**q, "letter": "A"} for q in recorded["questions"]]}
        assert len(smoke.check(url, URI, lettered)) == 3
        assert smoke.check(url, URI, lettered, briefly=True) == [], "too short an answer for a letter"
        others = [{**q, "tokens": [1] * smoke.FIRST_TOKENS} for q in recorded["questions"]]
        for wrong, alike in ((1, 2), (2, 1)):  # two of three are enough, for another machine's last digits; one is not
            problems = smoke.check(url, URI, {**recorded, "questions": others[:wrong] + recorded["questions"][wrong:]})
            assert [f"in {alike} of 3 answers, not in 2" in problem for problem in problems] == [True] * (alike < 2)
        unasked = {**recorded, "questions": [{**recorded["questions"][0], "messages": []}, *recorded["questions"][1:]]}
        (problem,) = smoke.check(url, URI, unasked)
        assert problem.startswith("question 1 got no answer (HTTPStatusError")
    with served(Writer(damaged(tiny_model, tmp_path / "bad"), "float32"), "biomed-r1", URI) as url:
        (problem,) = smoke.check(url, URI, recorded)
        assert "not the weights that were registered" in problem
    with pytest.raises(smoke.NotReachedError, match="nothing answers"):
        smoke.check(url, URI, recorded)


def test_the_endpoint_asks_for_its_key_streams_and_refuses_in_words(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 4}
    with served(Writer(tiny_model, "float32"), "m", key="secret") as url:
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/health").status_code == 200
        monkeypatch.setenv(smoke.KEY_VARIABLE, "secret")
        with smoke.client(30) as asked:
            assert smoke.served_names(asked, url) == ["m"]
            _, tokens = smoke.ask(asked, url, "m", body["messages"], 4)
            assert tokens is not None and len(tokens) <= 4
            chat = f"{url}/v1/chat/completions"
            streamed = asked.post(chat, json={**body, "stream": True}).text
            assert streamed.startswith("data: {") and streamed.endswith("data: [DONE]\n\n")
            assert asked.post(chat, json={**body, "model": "x"}).status_code == 404
            assert asked.post(chat, content=b"{").status_code == 400
            long = {**body, "messages": [{"role": "user", "content": "word " * 9000}]}
            assert "shorten the messages" in asked.post(chat, json=long).json()["error"]["message"]


def test_a_record_is_three_questions(tiny_model: Path, tmp_path: Path, recorded: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs 3 questions, got 2"):
        smoke.record(tiny_model, ITEMS[:2])
    assert smoke.read(str(tmp_path)) is None
    objects.put_json(smoke.smoke_uri(str(tmp_path)), recorded)
    assert smoke.read(str(tmp_path)) == recorded
    objects.put_json(smoke.smoke_uri(str(tmp_path)), {**recorded, "questions": [{}, {}, {}]})
    with pytest.raises(DamagedError, match=r"smoke\.json: question 0 has no messages, options, tokens"):
        smoke.read(str(tmp_path))
