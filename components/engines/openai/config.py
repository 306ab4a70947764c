"""How an OpenAI-compatible endpoint is asked: the fields of its configuration."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.engines.base import PrefillMode, TooLong
from components.errors import InputError

# What the engine itself writes into a request.
_OWN_FIELDS = frozenset({"model", "messages", "stream", "n", "max_tokens", "max_completion_tokens"})


class EndpointConfig(BaseModel):
    """Fields that engine `openai` reads. Endpoints differ in what they accept; nothing here is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = Field(None, description="of the endpoint, such as http://127.0.0.1:8000/v1")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    prefill_mode: PrefillMode = Field(
        "two_turn", description="continued: vLLM and SGLang servers, which go on with an assistant's turn"
    )
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="max_completion_tokens: OpenAI's reasoning models, such as o4-mini"
    )
    send_sampling: bool = Field(True, description="false: endpoints that refuse temperature and top_p, such as o4-mini")
    extra_body: dict[str, Any] = Field({}, description="more fields of the request, such as reasoning_effort")
    concurrency: int = Field(8, ge=1, description="requests under way at once, at most")
    timeout_seconds: float = Field(300.0, gt=0, description="of one attempt, from sending to the last byte")
    attempts: int = Field(8, ge=1, description="per answer, at most")
    backoff_seconds: float = Field(1.0, gt=0, description="the wait before an attempt doubles from here, with jitter")
    too_long: TooLong = Field(
        "stop", description="a question that the model's context cannot hold ends the run, or counts as not answered"
    )
    # A budget is of one run of the stage: one that is started again, by hand or by Kubernetes, has a new one.
    max_requests: int | None = Field(None, ge=1, description="that one run may send, retries included")
    max_total_tokens: int | None = Field(None, ge=1, description="of prompts and answers that one run may use")

    # These two raise InputError, not ValueError: pydantic's own message would print the value, which may be a secret.
    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError("base_url: holds more than host and path; a key belongs in the variable of api_key_env")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("base_url: is not http://HOST/PATH or https://HOST/PATH")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _variable(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", value):
            raise InputError("api_key_env: is not the name of an environment variable (never write the key itself)")
        return value

    @field_validator("extra_body")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OWN_FIELDS & set(value)):
            raise ValueError(f"sets {', '.join(taken)}, which other fields decide")
        return value
