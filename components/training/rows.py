"""From the rows of a training mix to what the trainers read: token ids with labels (SFT), prompts as text (GRPO)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.engines.rendering import render
from components.errors import InputError
from components.platform.tables import read_rows

IGNORED = -100  # the label that torch's cross-entropy leaves out
TooLong = Literal["drop", "fail"]
Row = dict[str, Any]


@dataclass(frozen=True)
class Encoded:
    """Token ids and labels of the rows that fit, their numbers in the mix (from 1), and how many did not fit."""

    rows: list[dict[str, list[int]]]
    too_long: int
    prompt_tokens: int
    learned_tokens: int
    numbers: tuple[int, ...]


def read_traces(mix: Path) -> list[Row]:
    """Rows of an SFT mix with `prompt` parsed; raises InputError naming file, row and field."""
    return _read(mix, _trace)


def read_questions(mix: Path) -> list[Row]:
    """Rows of an RL mix with `prompt` and `options` parsed; raises InputError naming file, row and field."""
    return _read(mix, _question)


def encode_traces(rows: Sequence[Row], tokenizer: Any, max_length: int, too_long: TooLong, mix: Path) -> Encoded:
    """Token ids, and labels that cover the completion and the end of the turn only.

    Prompt and opening are tokenised on their own, exactly as the model meets them when it is asked, and the
    completion on its own, so no token straddles the edge of the mask. Nothing is ever cut.
    """
    end = end_of_turn(tokenizer)
    encoded: list[dict[str, list[int]]] = []
    numbers: list[int] = []
    skipped = prompt_tokens = learned_tokens = 0
    for number, row in enumerate(rows, start=1):
        prompt = prompt_ids(tokenizer, row)
        completion = tokenizer(joined(row["opening"], row["completion"]) + end, add_special_tokens=False)["input_ids"]
        if len(prompt) + len(completion) > max_length:
            if too_long == "fail":
                raise InputError(
                    f"{mix}: row {number}: completion: {len(prompt)} + {len(completion)} tokens do not fit max_length "
                    f"{max_length}; raise it or set too_long: drop"
                )
            skipped += 1
            continue
        prompt_tokens += len(prompt)
        learned_tokens += len(completion)
        numbers.append(number)
        encoded.append({"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion})
    if not encoded:
        raise InputError(f"{mix}: all {len(rows)} rows are longer than max_length {max_length} tokens; raise it")
    return Encoded(encoded, skipped, prompt_tokens, learned_tokens, tuple(numbers))


def render_questions(rows: Sequence[Row], tokenizer: Any, max_prompt: int, too_long: TooLong, mix: Path) -> list[Row]:
    """Rows as TRL takes them: the prompt as text that ends inside the assistant's turn, the number in the mix (from 1).

    TRL opens a new turn for chat messages, which would end a planted opening.
    """
    questions = []
    for number, row in enumerate(rows, start=1):
        tokens = len(prompt_ids(tokenizer, row))
        if tokens <= max_prompt:
            text, options = prompt_text(tokenizer, row), json.dumps(row["options"])
            questions.append({**row, "prompt": text, "options": options, "row": number})
        elif too_long == "fail":
            raise InputError(
                f"{mix}: row {number}: prompt: {tokens} tokens, more than max_prompt_length {max_prompt}; raise it or "
                "set too_long: drop"
            )
    if not questions:
        raise InputError(f"{mix}: every prompt is longer than max_prompt_length {max_prompt}; raise it")
    return questions


def prompt_text(tokenizer: Any, row: Row) -> str:
    """Chat and opening, ready for `tokenizer(text)`: a template's BOS goes where the tokenizer adds one (Llama)."""
    text = render(tokenizer, row["prompt"], row["opening"] or None)
    bos = tokenizer.bos_token
    adds = bos is not None and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(bos) if adds else text


def prompt_ids(tokenizer: Any, row: Row) -> list[int]:
    return list(tokenizer(prompt_text(tokenizer, row))["input_ids"])


def joined(opening: str, completion: str) -> str:
    """The completion as it continues an opening: with a space between the two, as a model would write it."""
    apart = not opening or opening[-1].isspace() or completion[0].isspace()
    return completion if apart else f" {completion}"


def end_of_turn(tokenizer: Any) -> str:
    """What the chat template writes straight after an assistant's words (the end token where it writes nothing)."""
    mark = "sentinel-of-the-assistant"
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
    after = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(mark)[2].strip()
    return after or str(tokenizer.eos_token)


def _read(mix: Path, parse: Any) -> list[Row]:
    rows = [parse(row, f"{mix}: row {number}") for number, row in enumerate(read_rows(mix), start=1)]
    if not rows:
        raise InputError(f"{mix}: no rows; there is nothing to train on")
    return rows


def _trace(row: Row, where: str) -> Row:
    if not isinstance(row.get("completion"), str) or not row["completion"].strip():
        raise InputError(f"{where}: completion: must be non-empty text; run curate again")
    return {
        "prompt": _messages(row.get("prompt"), where),
        "opening": row.get("opening") or "",
        "completion": row["completion"],
    }


def _question(row: Row, where: str) -> Row:
    options = _json(row.get("options"))
    if not isinstance(options, Mapping) or not options:
        raise InputError(f"{where}: options: must be a JSON object of letter to text")
    if row.get("answer_idx") not in options:
        raise InputError(f"{where}: answer_idx: {row.get('answer_idx')!r} is not one of the options")
    return {
        "prompt": _messages(row.get("prompt"), where),
        "opening": row.get("opening") or "",
        "options": dict(options),
        "answer_idx": row["answer_idx"],
    }


def _messages(value: Any, where: str) -> list[dict[str, str]]:
    messages = _json(value)
    if not isinstance(messages, list) or not messages or not all(_is_message(m) for m in messages):
        raise InputError(f'{where}: prompt: must be JSON text of messages [{{"role": ..., "content": ...}}]')
    return messages


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))


def _json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else None
    except json.JSONDecodeError:
        return None
