"""The probe asks the same model for the letter alone, after its own answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from components.engines.base import Generation, Request, Sampling
from components.engines.openai.client import OpenAIEngine
from components.engines.probe import NOT_ASKED, PROBE_TEXT, chosen, probe
from components.engines.rendering import encode, next_tokens, render
from components.engines.transformers_engine import TransformersEngine

LETTERS = ("A", "B", "C", "D")
REQUESTS = [
    Request(f"item {k}", (("user", f"Question {k}: which?\nA. one\nB. two\nC. three\nD. four"),), "I think" * (k % 2))
    for k in range(6)
]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(tiny_model, "float32", batch_size=4)


def test_the_picked_letter_is_the_likeliest_of_the_letters(engine: TransformersEngine) -> None:
    answers = [Generation("It is B.", "stop", 1, 1)] * len(REQUESTS)
    found, why = probe(engine, REQUESTS, answers, [LETTERS] * len(REQUESTS), 100, 0)
    assert why == ""
    for request, letter in zip(REQUESTS, found, strict=True):
        asked = replace(request, opening=f"{request.opening}It is B.{PROBE_TEXT}")
        ids = torch.tensor([encode(engine.tokenizer, asked, 2048, 1)])
        with torch.inference_mode():
            logits = engine.model(input_ids=ids).logits[0, -1]
        tokens = next_tokens(engine.tokenizer, LETTERS)
        assert letter == max(tokens, key=lambda name: float(logits[tokens[name]]))


def test_only_finished_answers_that_fit_are_probed(engine: TransformersEngine) -> None:
    answers = [Generation("It is B.", "length" if k == 0 else "stop", 1, 1) for k in range(6)]
    answers[1] = Generation("word " * 9000, "stop", 1, 1)
    found, _ = probe(engine, REQUESTS, answers, [LETTERS] * 6, 100, 0)
    assert found[:2] == [None, None] and None not in found[2:]


def test_the_share_is_seeded_and_the_same_for_every_model() -> None:
    ids = [f"item {k} (plain)" for k in range(4000)]
    assert 150 < sum(chosen(name, 5, 0) for name in ids) < 250
    assert [chosen(n, 5, 0) for n in ids] == [chosen(n, 5, 0) for n in ids] != [chosen(n, 5, 1) for n in ids]
    assert not any(chosen(n, 0, 0) for n in ids) and all(chosen(n, 100, 0) for n in ids)


def test_an_endpoint_is_not_asked_and_the_record_says_so() -> None:
    endpoint = OpenAIEngine.__new__(OpenAIEngine)  # no request is sent, so nothing of it is needed
    answers = [Generation("B", "stop", 1, 1)] * 6
    assert probe(endpoint, REQUESTS, answers, [LETTERS] * 6, 100, 0) == ([None] * 6, NOT_ASKED)


def test_a_template_that_opens_the_thought_does_not_open_it_twice(engine: TransformersEngine) -> None:
    kept = engine.tokenizer.chat_template
    try:
        engine.tokenizer.chat_template = (
            "{% for m in messages %}{{ m.role }}: {{ m.content.split('</think>')[-1] }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"
        )
        text = render(engine.tokenizer, [{"role": "user", "content": "Q"}], "<think>\nhm</think>\nB." + PROBE_TEXT)
        assert text == "user: Q\nassistant: <think>\nhm</think>\nB." + PROBE_TEXT
        answer = next(iter(engine.generate([REQUESTS[0]], Sampling(1))))[1].text
        assert answer.startswith("<think>")
    finally:
        engine.tokenizer.chat_template = kept
