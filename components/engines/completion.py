"""What an endpoint sent back: an answer, a reason to try again, or a reason to stop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from components.engines.base import FinishReason, Generation, PrefillMode, Request
from components.errors import StageError

# An endpoint that wants a longer rest than this ends the run, which another one resumes.
MAX_RETRY_AFTER_SECONDS = 600.0


class TransientError(Exception):
    """An attempt that may succeed when it is made again, after `retry_after` seconds at least."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def refuse(response: httpx.Response, request: Request, host: str, variable: str, scrub: Callable[[str], str]) -> None:
    """Raise TransientError for what may pass (429 and 5xx) and StageError for any other answer that is not 200."""
    status = response.status_code
    if status == 200:
        return
    code, message = _error_of(scrub(response.text))
    if status >= 500 or (status == 429 and code != "insufficient_quota"):
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

    Raises TransientError for a completion without an answer.
    """
    try:
        choice, usage = value["choices"][0], value["usage"]
        text, reason = choice["message"]["content"] or "", choice["finish_reason"]
        counts = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    except (LookupError, TypeError, ValueError):
        raise TransientError("a completion without an answer") from None
    reasons: dict[str, FinishReason] = {"stop": "stop", "length": "length", "content_filter": "content_filter"}
    if reason not in reasons or not isinstance(text, str):
        raise TransientError(f"a completion that ended with {reason!r}")
    if mode == "continued":
        text = text.removeprefix(request.opening)  # some servers send the whole turn
    return Generation(text, reasons[reason], *counts)


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


def _error_of(text: str) -> tuple[str, str]:
    """(code, message) of an error body in OpenAI's form, and in that of servers that leave the outer object out."""
    try:
        value = json.loads(text)
        error = value.get("error", value)
        return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
    except (ValueError, AttributeError):
        return "", ""
