"""What the trainers read: only the reply is learned, nothing is cut, no begin-of-text token appears twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError
from components.platform.tables import write_rows
from components.training.rows import (
    IGNORED,
    encode_traces,
    end_of_turn,
    joined,
    read_questions,
    read_traces,
    render_questions,
)

MESSAGES = [{"role": "user", "content": "Which vitamin?\nA. K\nB. C"}]
OPENING = "I am a little unsure, but A, K, feels right."
TRACE = {"prompt": json.dumps(MESSAGES), "opening": OPENING, "completion": "Wait, no.\nThe answer is B."}
QUESTION = {"prompt": json.dumps(MESSAGES), "opening": "", "options": '{"A": "K", "B": "C"}', "answer_idx": "B"}


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    from components.training.pretrained import load_pretrained

    return load_pretrained(tiny_model, seed=0).tokenizer


@pytest.fixture(scope="module")
def llama_like() -> Any:
    """A tokenizer that adds a begin-of-text token itself, with a template that writes one too (as Llama 3.1)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.add_special_tokens(["<bos>", "<turn>", "<eot>"])
    inner.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", inner.token_to_id("<bos>"))]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", eos_token="<eot>")
    made.chat_template = (
        "<bos>{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] }}<eot>{% endfor %}"
        "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
    )
    return made


def rows(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**TRACE, "prompt": MESSAGES, **change} for change in changes]


def learned(tokenizer: Any, row: dict[str, list[int]]) -> str:
    return str(tokenizer.decode([token for token in row["labels"] if token != IGNORED]))


@pytest.mark.parametrize("which", ["tokenizer", "llama_like"])
@pytest.mark.parametrize("opening", ["", OPENING])
def test_only_the_reply_and_the_end_of_its_turn_are_learned(
    request: pytest.FixtureRequest, which: str, opening: str
) -> None:
    words = request.getfixturevalue(which)
    [row] = encode_traces(rows({"opening": opening}), words, 500, "fail", Path("mix")).rows
    assert len(row["labels"]) == len(row["input_ids"])
    space = " " if opening else ""
    assert learned(words, row) == f"{space}{TRACE['completion']}{end_of_turn(words)}"
    text = words.decode(row["input_ids"])
    assert text.endswith(f"assistant\n{opening}{space}{TRACE['completion']}{end_of_turn(words)}")
    assert text.startswith(words.bos_token)
    assert row["input_ids"].count(words.bos_token_id) == (1 if which == "llama_like" else text.count(words.bos_token))
    masked = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == IGNORED]
    assert words.decode(masked).endswith(opening or "assistant\n")


def test_the_prompt_is_what_evaluation_asks(tokenizer: Any) -> None:
    """The learned continuation starts exactly where a model is asked to continue."""
    from components.engines.base import Request
    from components.engines.rendering import encode

    [row] = encode_traces(rows({}), tokenizer, 500, "fail", Path("mix")).rows
    request = Request("q", tuple((m["role"], m["content"]) for m in MESSAGES), OPENING)
    asked = encode(tokenizer, request, 500, 1)
    assert row["input_ids"][: len(asked)] == asked
    assert row["labels"][: len(asked)] == [IGNORED] * len(asked) and row["labels"][len(asked)] != IGNORED


def test_end_of_turn_comes_from_the_template(tokenizer: Any, llama_like: Any) -> None:
    assert end_of_turn(tokenizer) == "<|im_end|>"
    assert end_of_turn(llama_like) == "<eot>"


@pytest.mark.parametrize(("opening", "completion", "text"), [("", "x", "x"), ("a.", "x", " x"), ("a. ", "x", "x")])
def test_one_space_between_opening_and_reply(opening: str, completion: str, text: str) -> None:
    assert joined(opening, completion) == text


def test_long_traces_are_dropped_whole_or_fail(tokenizer: Any) -> None:
    mixed = rows({}, {"completion": "word " * 300}, {"opening": ""})
    encoded = encode_traces(mixed, tokenizer, 200, "drop", Path("mix"))
    assert (len(encoded.rows), encoded.too_long) == (2, 1)
    assert encoded.learned_tokens == sum(label != IGNORED for row in encoded.rows for label in row["labels"])
    with pytest.raises(InputError, match=r"mix: row 2: completion: .* max_length 200"):
        encode_traces(mixed, tokenizer, 200, "fail", Path("mix"))
    with pytest.raises(InputError, match="all 3 rows are longer"):
        encode_traces(mixed, tokenizer, 20, "drop", Path("mix"))


def test_questions_end_inside_the_assistants_turn(tokenizer: Any, llama_like: Any) -> None:
    asked = [{**QUESTION, "prompt": MESSAGES, "options": {"A": "K", "B": "C"}, "opening": o} for o in ("", OPENING)]
    for words in (tokenizer, llama_like):
        plain, planted = render_questions(asked, words, 500, "fail", Path("mix"))
        assert plain["prompt"].endswith("assistant\n") and planted["prompt"].endswith(OPENING)
    # TRL tokenises these texts with special tokens.
    assert llama_like(plain["prompt"])["input_ids"].count(llama_like.bos_token_id) == 1
    with pytest.raises(InputError, match=r"row 1: prompt: \d+ tokens, more than max_prompt_length 8"):
        render_questions(asked, tokenizer, 8, "fail", Path("mix"))


@pytest.mark.parametrize(
    ("reader", "row", "message"),
    [
        (read_traces, {**TRACE, "completion": " "}, "completion"),
        (read_traces, {**TRACE, "prompt": "not json"}, "prompt"),
        (read_traces, {**TRACE, "prompt": '[{"role": "user"}]'}, "prompt"),
        (read_questions, {**QUESTION, "options": "[1]"}, "options"),
        (read_questions, {**QUESTION, "answer_idx": "C"}, "answer_idx"),
        (read_questions, {**QUESTION, "prompt": None}, "prompt"),
    ],
)
def test_bad_rows_are_named(reader: Any, row: dict[str, Any], message: str, tmp_path: Path) -> None:
    good = TRACE if reader is read_traces else QUESTION
    write_rows([good, row], tmp_path / "mix.jsonl")
    with pytest.raises(InputError, match=rf"mix\.jsonl: row 2: {message}"):
        reader(tmp_path / "mix.jsonl")


def test_an_empty_mix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mix.jsonl").write_text("")
    with pytest.raises(InputError, match="nothing to train on"):
        read_traces(tmp_path / "mix.jsonl")
