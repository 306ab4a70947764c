"""The smoke test: is what answers the model that was registered? Three recorded questions tell.

`record` is made at `register` and stored beside the model's manifest as smoke.json. `check` asks a server the same
three questions, greedily, and compares. Weights that are finite but wrong load, answer and pass a health check; their
first tokens differ.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from components.errors import DamagedError, InputError, NewerSchemaError, StageError
from components.extraction import extract
from components.platform.storage import objects
from components.questions.items import Item
from components.questions.prompts import build_messages

SMOKE = "smoke.json"
SCHEMA_VERSION = 1
QUESTIONS = 3
# How many of a question's first tokens have to be the recorded ones, and in how many of the questions.
FIRST_TOKENS, ALIKE = 8, 2
# Room to reason before the letter.
MAX_NEW_TOKENS = 256
KEY_VARIABLE = "VLLM_API_KEY"


class NotReachedError(StageError):
    """The server to be tested did not take a connection: nothing is known about its weights."""


def smoke_uri(model: str) -> str:
    """Where the record of a stored model lies: beside its manifest, and no part of it."""
    return f"{model.rstrip('/')}/{SMOKE}"


def record(
    model_dir: Path,
    items: Sequence[Item],
    *,
    style: str = "direct",
    dtype: str = "auto",
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> dict[str, Any]:
    """What the model in a folder answers to three questions, greedily: the content of smoke.json.

    `dtype` "auto" is bfloat16 where the hardware computes in it. Raises InputError unless there are three items.
    """
    from components.engines.choice import resolve_dtype
    from components.serving.endpoint.writer import Writer

    if len(items) != QUESTIONS:
        raise InputError(f"the smoke record needs {QUESTIONS} questions, got {len(items)}")
    writer = Writer(model_dir, resolve_dtype(dtype))
    questions = []
    for item in items:
        messages = build_messages(item, style)
        _, ids = writer.write(messages, max_new_tokens)
        questions.append(
            {
                "messages": messages,
                "options": dict(item.options),
                "letter": extract(writer.text(ids), item.options),
                "tokens": ids[:FIRST_TOKENS],
                "start": writer.text(ids[:FIRST_TOKENS]),
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": writer.engine,
        "max_new_tokens": max_new_tokens,
        "questions": questions,
    }


def read(model: str) -> dict[str, Any] | None:
    """The smoke record of a stored model, or None where it has none; raises DamagedError for one that is none."""
    uri = smoke_uri(model)
    value = objects.get_json(uri)
    if value is None:
        return None
    questions = value.get("questions") if isinstance(value, dict) else None
    if not isinstance(questions, list) or len(questions) != QUESTIONS:
        raise DamagedError(f"{uri}: not a smoke record of {QUESTIONS} questions; register the model again")
    if value.get("schema_version", 1) > SCHEMA_VERSION:
        raise NewerSchemaError(f"{uri}: schema_version {value['schema_version']}: upgrade biomed-r1 to read it")
    for number, question in enumerate(questions):
        missing = [name for name in ("messages", "options", "tokens") if not question.get(name)]
        if missing:
            raise DamagedError(f"{uri}: question {number} has no {', '.join(missing)}; register the model again")
    return value


def check(
    base_url: str, uri: str, recorded: Mapping[str, Any], timeout: float = 120.0, briefly: bool = False
) -> list[str]:
    """What is wrong with the server at `base_url` (…:8000, without /v1) as a server of `uri`; [] when nothing is.

    Raises NotReachedError where nothing answers. `timeout` is for one answer, in seconds. `briefly` asks for the first
    tokens only: enough for a server that passed before and kept running. The key is read from VLLM_API_KEY where there
    is one.
    """
    most = FIRST_TOKENS if briefly else recorded.get("max_new_tokens")
    problems = []
    with client(timeout) as asked:
        try:
            names = served_names(asked, base_url)
        except httpx.TransportError as error:
            raise NotReachedError(f"{base_url}: nothing answers ({type(error).__name__}: {error})") from None
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            return [f"{base_url}/v1/models did not say what is served ({type(error).__name__}: {error})"]
        if uri not in names:
            return [f"{base_url} serves {', '.join(names) or 'nothing'}, not {uri}"]
        alike = 0
        for number, question in enumerate(recorded["questions"], start=1):
            try:
                text, tokens = ask(asked, base_url, uri, question["messages"], most)
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                problems.append(f"question {number} got no answer ({type(error).__name__}: {error})")
                continue
            if not briefly and question.get("letter") and extract(text, question["options"]) is None:
                problems.append(f"question {number}: the answer names no option; {question['letter']} was recorded")
            alike += _same_start(text, tokens, question)
    if alike < ALIKE:
        problems.insert(
            0,
            f"the first {FIRST_TOKENS} tokens are the recorded ones in {alike} of {QUESTIONS} answers, not in {ALIKE}: "
            "these are not the weights that were registered, or they are damaged",
        )
    return problems


def client(timeout: float) -> httpx.Client:
    """A client for a server of ours, with its key where there is one; no proxy of the environment in between."""
    key = os.environ.get(KEY_VARIABLE)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(timeout=httpx.Timeout(timeout, connect=5.0), headers=headers, trust_env=False)


def served_names(asked: httpx.Client, base_url: str) -> list[str]:
    """The names a server answers to; the URI of its weights is one of them. Raises what httpx raises."""
    answer = asked.get(f"{base_url}/v1/models")
    answer.raise_for_status()
    return [str(model["id"]) for model in answer.json()["data"]]


def ask(
    asked: httpx.Client, base_url: str, model: str, messages: Sequence[Mapping[str, str]], max_tokens: int | None
) -> tuple[str, list[int] | None]:
    """(text, token ids or None) of a greedy answer; ids come from vLLM and from our own endpoint."""
    body = {
        "model": model,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": max_tokens or MAX_NEW_TOKENS,
        "return_token_ids": True,
    }
    answer = asked.post(f"{base_url}/v1/chat/completions", json=body)
    answer.raise_for_status()
    choice = answer.json()["choices"][0]
    message = choice["message"]
    # A server with a reasoning parser cuts the thought off; the record holds the whole text.
    text = str(message.get("reasoning_content") or message.get("reasoning") or "") + str(message.get("content") or "")
    tokens = choice.get("token_ids")
    return text, None if tokens is None else [int(token) for token in tokens]


def _same_start(text: str, tokens: Sequence[int] | None, question: Mapping[str, Any]) -> bool:
    if tokens is not None:
        return list(tokens[:FIRST_TOKENS]) == list(question["tokens"])
    start = question.get("start")
    return bool(start) and text.startswith(str(start))
