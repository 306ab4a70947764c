"""How an OpenAI-compatible endpoint is asked: the fields of its configuration, and the budget of a run."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.engines.base import PrefillMode, TooLong
from components.errors import InputError, StageError

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


class BudgetSpentError(StageError):
    """The budget is spent, or the next request could pass it."""


class Budget:
    """Requests and tokens of one run, reserved before a request is sent and settled after it.

    A request without a bill keeps its whole reservation: the endpoint may have done the work.

    Guaranteed: at most `max_requests` requests are sent, and while no bill is larger than what its request reserved the
    bills stay within `max_total_tokens`. A server may bill more than it was asked for (thinking beyond max_tokens),
    which its bills alone can tell: the largest such excess seen is reserved from then on by every request, those under
    way included. So the budget can be passed only by a larger excess than any before it, at most by the requests under
    way when the first such bill comes (`concurrency` of them); then nothing more is sent, and `check` raises. What a
    server bills without telling, as for a request that timed out, counts as its reservation.
    """

    def __init__(self, max_requests: int | None, max_total_tokens: int | None) -> None:
        self.max_requests, self.max_total_tokens = max_requests, max_total_tokens
        self.requests = self.tokens = self.reserved = self.under_way = 0
        self.excess = 0  # the most that was billed beyond what was asked for
        self.dearest = (0, 0)  # that bill, and what was asked for
        self._changed = asyncio.Condition()

    @property
    def held(self) -> int:
        """Tokens that the requests under way may still be billed."""
        return self.reserved + self.under_way * self.excess

    def bind(self) -> None:
        """Forget the event loop of an earlier call, but not what it spent."""
        self._changed = asyncio.Condition()

    def check(self) -> None:
        """Raise BudgetSpentError when bills have passed the budget."""
        if self.max_total_tokens is not None and self.tokens > self.max_total_tokens:
            billed, asked = self.dearest
            raise BudgetSpentError(
                f"max_total_tokens: {self.tokens} of {self.max_total_tokens} are used: the server billed {billed} "
                f"tokens for a request that asked for at most {asked}, so more than was asked for"
            )

    async def reserve(self, tokens: int) -> None:
        """Take one request that asks for `tokens` at most; waits for requests under way.

        Raises BudgetSpentError where none is whose end could make room.
        """
        async with self._changed:
            while True:
                self.check()
                if self.max_requests is not None and self.requests >= self.max_requests:
                    raise BudgetSpentError(f"max_requests: all {self.max_requests} were sent")
                limit, most = self.max_total_tokens, tokens + self.excess
                if limit is None or self.tokens + self.held + most <= limit:
                    break
                if not self.under_way:
                    raise BudgetSpentError(
                        f"max_total_tokens: {self.tokens} of {limit} are used and the next request may take {most}"
                    )
                await self._changed.wait()
            self.requests += 1
            self.under_way += 1
            self.reserved += tokens

    async def settle(self, tokens: int, billed: int | None) -> None:
        """Put its bill in the place of what a request that asked for `tokens` reserved; None: all of that."""
        async with self._changed:
            self.reserved -= tokens
            self.under_way -= 1
            self.tokens += tokens + self.excess if billed is None else billed
            if billed is not None and billed - tokens > self.excess:
                self.excess, self.dearest = billed - tokens, (billed, tokens)
            self._changed.notify_all()
