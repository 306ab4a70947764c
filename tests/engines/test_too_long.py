"""A question that the context cannot hold ends the run, or is counted as not answered; nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from endpoint_engine import QUICK, engine, one, requests
from faulty_endpoint import completion, endpoint

from components.engines import answers
from components.engines.base import Sampling
from components.errors import InputError, StageError
from components.platform.storage.journal import Journal
from components.platform.tables import read_metadata, read_rows, write_items
from components.questions.items import Item
from components.stages.evaluate import EvaluateConfig, evaluate

OPENAI = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens."
# (status, body) of each server, from its sources or documentation.
DIALECTS: dict[str, tuple[int, Any]] = {
    "OpenAI, Azure, Groq": (400, {"error": {"message": "x", "code": "context_length_exceeded"}}),
    "DeepSeek": (400, {"error": {"message": OPENAI, "type": "invalid_request_error", "code": "invalid_request_error"}}),
    "vLLM before 0.10": (400, {"object": "error", "message": OPENAI, "type": "BadRequestError", "code": 400}),
    "vLLM": (
        400,
        {"error": {"message": "The decoder prompt (length 2400) is longer than the maximum model length of 2048."}},
    ),
    "SGLang": (
        400,
        {"message": "The input (2500 tokens) is longer than the model's context length (2048 tokens).", "code": 400},
    ),
    "llama.cpp": (
        400,
        {"error": {"code": 400, "message": "the request exceeds it", "type": "exceed_context_size_error"}},
    ),
    "older llama.cpp": (500, {"error": {"message": "the request exceeds the available context size. try increasing"}}),
    "TGI": (
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048.",
            "error_type": "validation",
        },
    ),
    "Anthropic": (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 21 tokens > 20"}}),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (1200) exceeds the maximum number of tokens allowed",
                }
            }
        ],
    ),
    "Mistral": (
        400,
        {"message": "Prompt contains 40 tokens, too large for model with 32 maximum context length", "code": "3051"},
    ),
    "OpenRouter": (200, {"error": {"code": 400, "message": "This endpoint's maximum context length is 8192 tokens."}}),
    "LM Studio": (400, {"error": "The number of tokens to keep is greater than the context length."}),
}
NOT_LONG: list[tuple[int, Any]] = [
    (400, {"error": {"message": "max_tokens is too large: 9. This model supports at most 4 completion tokens."}}),
    (401, {"error": {"message": OPENAI}}),
    (400, {"error": {"message": "Unsupported parameter: 'temperature'", "code": "unsupported_parameter"}}),
]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_understood(dialect: str) -> None:
    status, body = DIALECTS[dialect]
    with endpoint() as server:
        server.planned = [(status, {}, body)]
        answer = one(server, too_long="no_answer")
        assert (answer.text, answer.finish_reason, len(server.bodies)) == ("", "too_long", 1)
        server.planned = [(status, {}, body)]
        with pytest.raises(StageError, match=r"item q1: http.*does not fit the endpoint's context.*too_long=no_answer"):
            one(server)
        assert len(server.bodies) == 2


@pytest.mark.parametrize(("status", "body"), NOT_LONG)
def test_another_refusal_still_ends_the_run(status: int, body: Any) -> None:
    with endpoint() as server:
        server.planned = [(status, {}, body)]
        with pytest.raises(StageError, match=f"HTTP {status}"):
            one(server, too_long="no_answer")


def test_an_answer_about_context_lengths_is_an_answer() -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, message={"content": OPENAI}, error=None))]
        assert one(server, too_long="no_answer").text == OPENAI


def test_a_set_that_one_question_stopped_goes_on(tmp_path: Path) -> None:
    """Seven of ten are answered; with `no_answer` the same command asks the others alone."""
    todo = requests(20)[::2]
    refusal = (400, {}, {"error": {"message": OPENAI, "code": "context_length_exceeded"}})
    with endpoint() as server:
        made = engine(server, concurrency=1)
        server.planned = []
        answers.ask(made, todo[:7], Sampling(16), Journal(str(tmp_path), "k" * 64))
        server.planned = [refusal]
        with pytest.raises(StageError, match=r"too_long=no_answer.*7 of 10 are answered and kept in"):
            answers.ask(made, todo, Sampling(16), Journal(str(tmp_path), "k" * 64))
        for resumed in (7, 9):  # what was too long is no answer that is kept
            server.planned = [refusal]
            counting = engine(server, concurrency=1, too_long="no_answer")
            found = answers.ask(counting, todo, Sampling(16), Journal(str(tmp_path), "k" * 64))
            assert (found.resumed, [a.finish_reason for a in found.generations].count("too_long")) == (resumed, 1)


def test_it_is_counted_and_reported(tmp_path: Path) -> None:
    openings = {f"adversarial_trace_{k}": "Perhaps A." for k in range(3)}
    options = {"A": "gout", "B": "scurvy"}
    write_items(
        [Item(f"q{n}", f"What is case {n}?", options, "B", "d", **openings) for n in range(3)], tmp_path / "i.parquet"
    )
    refusal = (400, {}, {"error": {"message": OPENAI}})
    with endpoint() as server:
        asked = {**QUICK, "base_url": server.url, "concurrency": 1, "settings": ["plain"], "max_new_tokens": 8}
        server.planned = [refusal]
        config = EvaluateConfig(**asked, too_long="no_answer")
        evidence = evaluate(tmp_path / "i.parquet", "openai:m", "m", config, tmp_path / "a.parquet")
        assert (evidence["too_long"], evidence["settings"]["plain"]["too_long"]) == (1, 1)
        assert evidence["metrics"]["too_long"] == 1 and evidence["no_answer"] >= 1
        first = read_rows(tmp_path / "a.parquet")[0]
        assert (first["finish_reason"], first["extracted"], first["correct"]) == ("too_long", None, False)
        assert read_metadata(tmp_path / "a.parquet")["too_long"] == "no_answer"
        evaluate(tmp_path / "i.parquet", "openai:m", "m", EvaluateConfig(**asked), tmp_path / "b.parquet")
        assert "too_long" not in read_metadata(tmp_path / "b.parquet")
        server.planned = [refusal] * 3
        with pytest.raises(StageError, match="none of 3 questions fits the context"):
            evaluate(tmp_path / "i.parquet", "openai:m", "m", config, tmp_path / "c.parquet")


def test_a_local_model_has_the_same_choice(tiny_model: Path, tmp_path: Path) -> None:
    options = {"A": "gout", "B": "scurvy"}
    items = [Item("long", "What is it? " * 400, options, "B", "d"), Item("short", "What is it?", options, "B", "d")]
    write_items(items, tmp_path / "i.parquet")
    asked = {"engine": "transformers", "dtype": "float32", "max_new_tokens": 4, "settings": "plain", "max_context": 400}
    with pytest.raises(
        InputError, match=r"item long \(plain\): \d+ prompt tokens and 4 new ones exceed.*too_long=no_answer"
    ):
        evaluate(tmp_path / "i.parquet", str(tiny_model), "m", EvaluateConfig(**asked), tmp_path / "a.parquet")
    config = EvaluateConfig(**asked, too_long="no_answer")
    evidence = evaluate(tmp_path / "i.parquet", str(tiny_model), "m", config, tmp_path / "a.parquet")
    rows = {row["item_id"]: row for row in read_rows(tmp_path / "a.parquet")}
    assert evidence["too_long"] == 1 and rows["long"]["prompt_tokens"] > 400
    assert rows["long"]["finish_reason"] == "too_long" and rows["short"]["finish_reason"] in ("stop", "length")
