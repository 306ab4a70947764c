"""What an endpoint sent back: an answer, a reason to try again, or a reason to stop.

Which words mean what is in `dialects`.
"""

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
from components.engines.openai.dialects import (
    BROKEN_OFF,
    ENDS,
    FILTER_CODES,
    NOT_ABOUT_LENGTH,
    TEXT_BLOCKS,
    TOO_LONG_CODES,
    TOO_LONG_WORDS,
    TRANSIENT_STATUS,
)
from components.errors import StageError

# An endpoint that wants a longer rest than this ends the run, which another one resumes.
MAX_RETRY_AFTER_SECONDS = 600.0
SECRET_CHARACTERS = 8  # a shorter key is none
WRONG_URL = "check base_url: it stands before /chat/completions and mostly ends in /v1"


class TransientError(Exception):
    """An attempt that may succeed when it is made again, after `retry_after` seconds at least."""

    def __init__(self, text: str, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class UnreachableError(TransientError):
    """No connection could be made."""


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
    if isinstance(value, list) and len(value) == 1:
        value = value[0]  # Gemini's errors
    return value if isinstance(value, dict) else {}


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(part, clean) for part in value]
    return {name: _cleaned(part, clean) for name, part in value.items()} if isinstance(value, dict) else value


def too_long(status: int, value: dict[str, Any]) -> bool:
    """Whether the question and its answer do not fit the endpoint's context; asking again is no use."""
    if status in NOT_ABOUT_LENGTH or (status == 200 and value.get("choices")):
        return False
    code, message = error_of(value)
    return code in TOO_LONG_CODES or bool(TOO_LONG_WORDS.search(message))


def withheld(status: int, value: dict[str, Any]) -> bool:
    """Whether a filter refused the question: of this item alone, so no reason to stop, and asking again is no use."""
    return status == 400 and error_of(value)[0] in FILTER_CODES


def refuse(response: httpx.Response, value: dict[str, Any], request: Request, asked: str, variable: str) -> None:
    """Raise TransientError for what may pass, and StageError for any other answer that is not 200.

    `asked` is the URL as it may be shown, `variable` the environment variable that holds the key.
    """
    status = response.status_code
    if status == 200:
        return
    code, message = error_of(value)
    if status >= 500 or status in TRANSIENT_STATUS or (status == 429 and code != "insufficient_quota"):
        wait = retry_after(response.headers.get("retry-after", ""))
        if wait > MAX_RETRY_AFTER_SECONDS:
            raise StageError(f"{request.id}: {asked} answered HTTP {status} and asks to come back in {wait:.0f} s")
        raise TransientError(f"HTTP {status} {code}".strip(), wait)
    what = f"{request.id}: {asked} answered HTTP {status} {code}".rstrip()
    what += f": {message[:200]}" if message else ""
    advice = "the endpoint may know other parameters: see token_parameter, send_sampling, prefill_mode and extra_body"
    if status in (401, 403):
        advice = f"check the key in {variable}" + ("" if os.environ.get(variable) else ", which is not set")
    elif 300 <= status < 400:
        target = response.headers.get("location", "").partition("?")[0]
        what, advice = f"{what}, a redirect to {target[:200] or 'nowhere'}", WRONG_URL
    elif status in (404, 405) or is_page(response):
        advice = f"{WRONG_URL}, and the model's name; {advice}"
    raise StageError(f"{what} ({advice})")


def refuse_page(response: httpx.Response, request: Request, asked: str) -> None:
    """Raise StageError for a web page in the place of an answer: the URL is of something else."""
    if response.status_code == 200 and is_page(response):
        raise StageError(f"{request.id}: {asked} answered with a web page, not with JSON ({WRONG_URL})")


def is_page(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or response.text.lstrip()[:1] == "<"


def read_answer(value: dict[str, Any], request: Request, mode: PrefillMode) -> Generation:
    """The answer in a completion. Thinking that the endpoint reports apart from the answer's text is no part of it.

    A message without a text is an empty one: a filter took it (Azure), or the limit came before it (Gemini). Counts
    that the endpoint leaves out are 0. Raises TransientError for a completion without an answer.
    """
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise TransientError(_without_choice(value))
    message, reason = choice.get("message"), choice.get("finish_reason")
    text = text_of(message.get("content")) if isinstance(message, dict) else ""
    finish = _finish_of(reason, text) if text is not None else None
    if text is None or finish is None:
        raise TransientError(f"a completion that ended with {reason!r}" + ("" if text else " and has no text"))
    if mode == "continued":
        text = text.removeprefix(request.opening)  # some servers send the whole turn
    prompt, written, _ = _counts(value)
    model = value.get("model")
    return Generation(text, finish, prompt or 0, written or 0, model if isinstance(model, str) else "")


def text_of(content: Any) -> str | None:
    """The text of a message's content, which may be a list of blocks; None for what is no content."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, dict):
        content = [content]
    return "".join(map(_block_text, content)) if isinstance(content, list) else None


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type", "text") not in TEXT_BLOCKS or block.get("thought"):
        return ""
    text = block.get("text")
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _without_choice(value: dict[str, Any]) -> str:
    """What stands in the place of an answer, for an error that stays."""
    code, message = error_of(value) if "error" in value else ("", "")
    if code or message:
        return f"an error in the place of an answer: {' '.join((code, message[:200])).strip()}"
    if "choices" in value:
        return "a completion with an empty list of `choices`"
    return "an answer that is cut off, or a completion without `choices`"


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
    word = (reason or "").lower().partition(":")[0].strip()  # Gemini: "content_filter: PROHIBITED_CONTENT"
    if word in ENDS:
        return ENDS[word]
    return "stop" if text.strip() and word not in BROKEN_OFF else None


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


def error_of(value: dict[str, Any]) -> tuple[str, str]:
    """(code, message) of an error body in OpenAI's form, and in those of servers that leave the outer object out
    (vLLM), or write a text (TGI, Ollama) or a detail (FastAPI) in its place."""
    error = value.get("error") or value.get("detail") or value
    if isinstance(error, list):
        error = error[0] if error else {}
    if isinstance(error, str):
        return str(value.get("error_type") or ""), error
    if not isinstance(error, dict):
        return "", ""
    code, kind = error.get("code"), error.get("type")
    if kind and isinstance(code, int):  # llama.cpp and vLLM repeat the status there
        code = kind
    return str(code or kind or ""), str(error.get("message") or error.get("msg") or "")
