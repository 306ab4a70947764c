"""The budget of a run at an OpenAI-compatible endpoint: requests and tokens, counted before they are spent."""

from __future__ import annotations

import asyncio

from components.errors import StageError


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
