"""What an endpoint sent back: an answer, a reason to try again, or a reason to stop."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from components.engines.base import FinishReason, Generation, PrefillMode, Request
from components.errors import StageError

# An endpoint that wants a longer rest than this ends the run, which another one resumes.
MAX_RETRY_AFTER_SECONDS = 600.0
SECRET_CHARACTERS = 8  # a shorter key is none

# What OpenAI's own client tries again besides 429 and 5xx, and 425 (too early, RFC 8470).
_TRANSIENT_STATUS = frozenset({408, 409, 425})
# A question that OpenAI or Azure will not have answered: HTTP 400.
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
# OpenAI's words for the end of an answer, and those of Together, TGI, Mistral and Anthropic.
_ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "content_filter": "content_filter",
}
# vLLM and SGLang, OpenRouter, DeepSeek: the server gave up half-way, which says nothing about the model.
_BROKEN_OFF = frozenset({"abort", "error", "insufficient_system_resource"})


class TransientError(Exception):
    """An attempt that may succeed when it is made again, after `retry_after` seconds at least."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def cleaner(key: str) -> Callable[[str], str]:
    """What makes a text of a reply fit to be kept: without the key, and without half a pair of surrogates.

    The key is found under JSON's escapes too, which are left where an error quotes another server's reply. One of
    fewer than 8 characters is no secret but a word for a server that asks for none, and may be part of an answer.
    """
    signs = (rf"(?:\\{{0,7}}{re.escape(sign)}|\\{{1,7}}u(?i:{ord(sign):04x}))" for sign in key)
    secret = re.compile("".join(signs)) if len(key) >= SECRET_CHARACTERS else None

    def clean(text: str) -> str:
        # An emoji cut in its JSON escape leaves half a pair, which no UTF-8 file can hold.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return secret.sub("***", text) if secret else text

    return clean


def decode(body: str, clean: Callable[[str], str]) -> dict[str, Any]:
    """The JSON object of a reply with its texts cleaned, {} for a body that holds none.

    Cleaned after decoding: escapes hide a key in the raw body, and a key may look like the name of a field.
    """
    try:
        value = _cleaned(json.loads(body), clean)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(part, clean) for part in value]
    return {name: _cleaned(part, clean) for name, part in value.items()} if isinstance(value, dict) else value


def withheld(status: int, value: dict[str, Any]) -> bool:
    """Whether a filter refused the question: of this item alone, so no reason to stop, and asking again is no use."""
    return status == 400 and _error_of(value)[0] in _FILTER_CODES


def refuse(response: httpx.Response, value: dict[str, Any], request: Request, host: str, variable: str) -> None:
    """Raise TransientError for what may pass, and StageError for any other answer that is not 200."""
    status = response.status_code
    if status == 200:
        return
    code, message = _error_of(value)
    if status >= 500 or status in _TRANSIENT_STATUS or (status == 429 and code != "insufficient_quota"):
        wait = retry_after(response.headers.get("retry-after", ""))
        if wait > MAX_RETRY_AFTER_SECONDS:
            raise StageError(f"{request.id}: {host} answered HTTP {status} and asks to come back in {wait:.0f} s")
        raise TransientError(f"HTTP {status} {code}".strip(), wait)
    advice = "the endpoint may know other parameters: see token_parameter, send_sampling, prefill_mode and extra_body"
    if status in (401, 403):
        advice = f"check the key in {variable}" + ("" if os.environ.get(variable) else ", which is not set")
    raise StageError(f"{request.id}: {host} answered HTTP {status} {code}: {message[:200]} ({advice})")


def read_answer(value: dict[str, Any], request: Request, mode: PrefillMode) -> Generation:
    """The answer in a completion. Thinking that the endpoint reports apart from `content` is no part of it.

    Counts that the endpoint leaves out are 0. Raises TransientError for a completion without an answer.
    """
    try:
        choice = value["choices"][0]
        text, reason = choice["message"]["content"] or "", choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError):
        raise TransientError("an answer that is cut off, or a completion without one") from None
    finish = _finish_of(reason, text) if isinstance(text, str) else None
    if finish is None:
        raise TransientError(f"a completion that ended with {reason!r}")
    if mode == "continued":
        text = text.removeprefix(request.opening)  # some servers send the whole turn
    prompt, written, _ = _counts(value)
    model = value.get("model")
    return Generation(text, finish, prompt or 0, written or 0, model if isinstance(model, str) else "")


def billed(value: dict[str, Any]) -> int | None:
    """Tokens that a completion was billed, None where it does not say (nothing is no bill either)."""
    prompt, written, total = _counts(value)
    if total is None and None in (prompt, written):
        return None
    return max(total or 0, (prompt or 0) + (written or 0)) or None


def _counts(value: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
    usage = value.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, written, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    return prompt, written, total


def _count(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < 2**53 else None  # what the tables hold, and more than any bill


def _finish_of(reason: Any, text: str) -> FinishReason | None:
    """The end that a host's word means, None for an answer that was broken off.

    A word not known here, or none, is an end where there is an answer.
    """
    if reason is not None and not isinstance(reason, str):
        return None
    word = (reason or "").lower()
    if word in _ENDS:
        return _ENDS[word]
    return "stop" if text.strip() and word not in _BROKEN_OFF else None


def retry_after(text: str) -> float:
    """Seconds in a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3); 0 for none."""
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _error_of(value: dict[str, Any]) -> tuple[str, str]:
    """(code, message) of an error body in OpenAI's form, and in that of servers that leave the outer object out."""
    error = value.get("error", value)
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
