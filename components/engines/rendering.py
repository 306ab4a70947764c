"""From chat messages to the exact tokens a local model reads: one way for every engine, so that they compare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.engines.base import Generation, Request, TooLong
from components.errors import InputError, StageError

# Templates of DeepSeek-R1, QwQ and Qwen3-Thinking end with it; the tokens at a prompt's end that can hold it.
THOUGHT, THOUGHT_TOKENS = "<think>", 8
_ENDING = 200  # characters of an opening that the prompt must end with; a thought's mark may be the template's own


class TooLongError(InputError):
    """A question of `tokens` prompt tokens that the context cannot hold together with its answer."""

    def __init__(self, text: str, tokens: int) -> None:
        super().__init__(text)
        self.tokens = tokens


def render(tokenizer: Any, messages: Sequence[dict[str, str]], opening: str | None = None) -> str:
    """The prompt as text: the chat in the model's own template, up to and including the assistant's `opening`.

    Templates that rewrite an assistant's turn (cutting `<think>` parts or the space at its end) would lose part of
    the opening; there it is put after the template's own start of an answer instead. Raises InputError where the
    tokenizer has no chat template.
    """
    if not tokenizer.chat_template:
        raise InputError("the model's tokenizer has no chat template; use an instruction-tuned model")
    if not opening:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    turns = [*messages, {"role": "assistant", "content": opening}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, continue_final_message=True))
    except ValueError:  # transformers looks for the last message in the rendered text and does not find it
        text = ""
    if not text.endswith(opening):
        text = str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        if opening.startswith(THOUGHT) and text.rstrip().endswith(THOUGHT):  # the template opens the thought itself
            opening = opening.removeprefix(THOUGHT).lstrip("\n")
        text += opening
    return text


def encode(tokenizer: Any, request: Request, max_context: int, max_new_tokens: int) -> list[int]:
    """The prompt's token ids. The template writes its own begin-of-text token, so none is added.

    Raises TooLongError when prompt and answer do not fit the model together: a question is never cut.
    """
    messages = [{"role": role, "content": content} for role, content in request.messages]
    text = render(tokenizer, messages, request.opening)
    if not text.endswith(request.opening[-_ENDING:]):
        raise StageError(f"{request.id}: the rendered prompt does not end with its opening: ...{text[-120:]!r}")
    ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    if len(ids) + max_new_tokens > max_context:
        raise TooLongError(
            f"{request.id}: {len(ids)} prompt tokens and {max_new_tokens} new ones exceed the context of "
            f"{max_context}; raise max_context, lower max_new_tokens, leave the question out, or say "
            "too_long=no_answer, which counts it as not answered",
            len(ids),
        )
    return ids


def encode_fitting(tokenizer: Any, requests: Sequence[Request], max_context: int) -> dict[int, list[int]]:
    """Prompts by the place of their request, those left out that leave no room for one more token."""
    found = {}
    for place, request in enumerate(requests):
        try:
            found[place] = encode(tokenizer, request, max_context, 1)
        except InputError:
            continue
    return found


def next_tokens(tokenizer: Any, letters: Sequence[str]) -> dict[str, int]:
    """The first token of each letter as it follows an opening bracket.

    Raises StageError where two letters begin with one token: then the next token alone cannot tell them apart.
    """
    bracket = list(tokenizer("(", add_special_tokens=False)["input_ids"])
    found = {}
    for letter in letters:
        ids = list(tokenizer(f"({letter}", add_special_tokens=False)["input_ids"])
        same = ids[: len(bracket)] == bracket and len(ids) > len(bracket)
        found[letter] = ids[len(bracket)] if same else tokenizer(letter, add_special_tokens=False)["input_ids"][0]
    if len(set(found.values())) != len(found):
        raise StageError(f"the tokenizer begins several of the letters {', '.join(letters)} with one token")
    return found


def encode_all(
    tokenizer: Any, requests: Sequence[Request], max_context: int, max_new_tokens: int, too_long: TooLong
) -> tuple[dict[int, list[int]], dict[int, Generation]]:
    """(token ids, answers given at once) by a request's position: each request is in one of them.

    A question that does not fit raises TooLongError, before any is asked, or is answered by nothing: see `TooLong`.
    """
    prompts: dict[int, list[int]] = {}
    left_out: dict[int, Generation] = {}
    for index, request in enumerate(requests):
        try:
            prompts[index] = encode(tokenizer, request, max_context, max_new_tokens)
        except TooLongError as error:
            if too_long == "stop":
                raise
            left_out[index] = Generation("", "too_long", error.tokens, 0)
    return prompts, left_out


def generation(tokenizer: Any, prompt: Sequence[int], output: Sequence[int], stop: frozenset[int]) -> Generation:
    """What the written token ids say. `clean_up…` off: it deletes spaces before punctuation that the model wrote.

    Where the template has opened a thought, its mark begins the text: a thought that was cut off could not be told from
    an answer otherwise.
    """
    ended = bool(output) and output[-1] in stop
    words = output[:-1] if ended else output
    text = str(tokenizer.decode(list(words), skip_special_tokens=True, clean_up_tokenization_spaces=False))
    opened = str(tokenizer.decode(list(prompt[-THOUGHT_TOKENS:]))).rstrip().endswith(THOUGHT)
    return Generation(
        text=f"{THOUGHT}\n{text}" if opened else text,
        finish_reason="stop" if ended else "length",
        prompt_tokens=len(prompt),
        output_tokens=len(output),
    )


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def stop_ids(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the end tokens of generation_config.json, config.json and the tokenizer."""
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            value = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
            found.update(value if isinstance(value, list) else [] if value is None else [value])
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    return frozenset(found)


def context_limit(folder: Path, max_context: int) -> int:
    """`max_context`, or what the model was made for where that is less (tokens)."""
    own = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    return min(max_context, own) if isinstance(own, int) else max_context
