"""The exact prompt: what the model has already said is what stands at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.engines.base import Request
from components.engines.rendering import context_limit, encode, generation, load_tokenizer, render, stop_ids
from components.errors import InputError
from components.extraction import extract

ASK = [{"role": "user", "content": "Which vitamin prevents scurvy?"}]
HEAD = "{% for m in messages %}<{{ m.role }}>"
TAIL = "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
# Templates that rewrite an assistant's turn, as those of some reasoning models do.
CUTS_THOUGHT = HEAD + "{{ m.content.split('</think>')[-1] }}" + TAIL
CUTS_SPACE = HEAD + "{{ m.content.strip() }}" + TAIL


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


def test_plain_prompt_opens_the_assistants_turn(tokenizer: Any) -> None:
    text = render(tokenizer, ASK)
    assert text.endswith("<|im_start|>assistant\n")
    assert text.count(ASK[0]["content"]) == 1


def test_opening_continues_the_assistants_turn(tokenizer: Any) -> None:
    assert render(tokenizer, ASK, "Hmm, perhaps B.") == render(tokenizer, ASK) + "Hmm, perhaps B."


@pytest.mark.parametrize("template", [CUTS_THOUGHT, CUTS_SPACE])
@pytest.mark.parametrize("opening", ["<think>I guess B.</think>", "I guess B. ", " so B", "plain words"])
def test_templates_that_rewrite_the_turn_lose_nothing(tokenizer: Any, template: str, opening: str) -> None:
    tokenizer.chat_template = template
    assert render(tokenizer, ASK, opening) == f"<user>{ASK[0]['content']}<assistant>{opening}"


@given(opening=st.text(min_size=1, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_opening_ends_the_prompt(tokenizer: Any, opening: str) -> None:
    assert render(tokenizer, ASK, opening).endswith(opening)


def test_no_chat_template_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="chat template"):
        render(tokenizer, ASK)


def test_encode_adds_no_second_begin_of_text(tokenizer: Any) -> None:
    request = Request("item 1", (("user", "Why?"),), "Maybe")
    ids = encode(tokenizer, request, 100, 10)
    assert tokenizer.decode(ids) == render(tokenizer, [{"role": "user", "content": "Why?"}], "Maybe")


def test_too_long_a_prompt_names_its_item_and_is_not_cut(tokenizer: Any) -> None:
    request = Request("item q-17 (plain)", (("user", "word " * 50),))
    with pytest.raises(InputError, match=r"item q-17 \(plain\).*context of 60"):
        encode(tokenizer, request, 60, 10)


def test_generation_separates_the_end_token_from_the_words(tokenizer: Any) -> None:
    words = tokenizer("The answer is A .", add_special_tokens=False)["input_ids"]
    ended = generation(tokenizer, [1, 2, 3], [*words, 2], frozenset({2}))
    assert (ended.text, ended.finish_reason, ended.output_tokens) == ("The answer is A .", "stop", len(words) + 1)
    cut = generation(tokenizer, [1, 2, 3], words, frozenset({2}))
    assert (cut.text, cut.finish_reason, cut.prompt_tokens) == ("The answer is A .", "length", 3)
    assert generation(tokenizer, [1], [2], frozenset({2})).text == ""


OPENS_THOUGHT = HEAD + "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant><think>\n{% endif %}"


def _written(tokenizer: Any, text: str, opening: str = "", stop: bool = False) -> str:
    """The text of an answer to a prompt whose template opens a thought."""
    tokenizer.chat_template = OPENS_THOUGHT
    prompt = encode(tokenizer, Request("item 1", (("user", "Why?"),), opening), 200, 10)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return generation(tokenizer, prompt, [*ids, 2] if stop else ids, frozenset({2})).text


def test_a_thought_opened_by_the_template_and_cut_off_holds_no_answer(tokenizer: Any) -> None:
    options = {"A": "Vitamin A", "B": "Vitamin C"}
    cut = _written(tokenizer, "So the answer is A. But wait")
    assert extract(cut, options) is None and cut == "<think>\nSo the answer is A. But wait"
    done = _written(tokenizer, "So the answer is A. But wait.\n</think>\n\nThe answer is B.", stop=True)
    assert extract(done, options) == "B"


def test_a_wrong_opening_stands_in_place_of_the_templates_thought(tokenizer: Any) -> None:
    assert _written(tokenizer, " No, the answer is A.", opening="Perhaps B.") == " No, the answer is A."


def test_stop_ids_come_from_every_place_that_names_them(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 8]}), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 9}), encoding="utf-8")
    assert stop_ids(tmp_path, tokenizer) == {7, 8, 9, tokenizer.eos_token_id}


def test_context_is_the_models_own_where_that_is_less(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 2048}), encoding="utf-8")
    assert context_limit(tmp_path, 8192) == 2048
    assert context_limit(tmp_path, 512) == 512
