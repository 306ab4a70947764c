"""The budget of a run: what may be sent, and what happens when a server bills more than it was asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from endpoint_engine import ask, engine, one, requests
from faulty_endpoint import completion, endpoint

from components.engines import answers
from components.engines.base import Sampling
from components.engines.openai.budget import Budget
from components.errors import StageError
from components.platform.storage.journal import Journal

# What one of `requests` reserves: its text in bytes, the template's tokens and the answer's.
ASKED = len("What is case 0?") + 256 + 16


@pytest.mark.parametrize("limit", [1, 7, 30])
def test_the_request_budget_is_never_exceeded(limit: int) -> None:
    with endpoint(seed=3, fault_rate=0.4) as server:
        answered = []
        with pytest.raises(StageError, match=f"max_requests: all {limit} were sent"):
            for pair in engine(server, max_requests=limit).generate(requests(), Sampling(16)):
                answered.append(pair)
        assert len(server.bodies) == limit
        # All that was paid for and answered is there.
        assert len(answered) == server.answered.total() <= limit


@pytest.mark.parametrize("limit", [400, 2000, 5000])
def test_the_token_budget_is_never_exceeded(limit: int) -> None:
    with endpoint(seed=4, fault_rate=0.3) as server:
        answered = []
        with pytest.raises(StageError, match=rf"max_total_tokens: \d+ of {limit} are used"):
            for pair in engine(server, max_total_tokens=limit).generate(requests(120), Sampling(16)):
                answered.append(pair)
        assert 0 < server.tokens <= limit
        assert len(answered) == server.answered.total() > 0


def test_a_token_budget_that_suffices_is_no_hindrance() -> None:
    """Requests wait for the reservations of those under way, rather than ending the run."""
    with endpoint() as server:
        made = engine(server, max_total_tokens=8_000)
        assert len(ask(made, requests(100))) == 100
        assert (made.budget.tokens, made.budget.held) == (server.tokens, 0)


def test_a_bill_beyond_the_budget_ends_the_run(tmp_path: Path) -> None:
    """The answer it was for is kept, like all the others: the same command asks only for what is missing."""
    todo = requests(8)[::2]
    with endpoint() as server:
        server.thinking = [32_000]
        told = rf"max_total_tokens: 32\d+ of 1000 are used.* billed 32\d+ tokens for .* asked for at most {ASKED}"
        with pytest.raises(StageError, match=rf"{told}.*1 of 4 are answered and kept in"):
            answers.ask(engine(server, max_total_tokens=1000, concurrency=1), todo, Sampling(16), journal(tmp_path))
        assert len(server.bodies) == 1
        made = answers.ask(engine(server, max_total_tokens=1000), todo, Sampling(16), journal(tmp_path))
    assert (made.resumed, made.asked, len(server.bodies)) == (1, 3, 4)


def journal(folder: Path) -> Journal:
    return Journal(str(folder), "k" * 64)


def test_the_last_answer_can_be_the_one_that_is_too_dear() -> None:
    with endpoint() as server:
        server.thinking = [32_000]
        with pytest.raises(StageError, match=r"more than was asked for"):
            one(server, max_total_tokens=1000)


def test_only_what_is_under_way_can_pass_the_budget() -> None:
    """All of it is answered, nothing more is sent."""
    with endpoint() as server:
        server.delay, server.thinking = 0.2, [500] * 40
        got = []
        with pytest.raises(StageError, match="more than was asked for"):
            for pair in engine(server, max_total_tokens=1500, concurrency=4, timeout_seconds=5).generate(
                requests()[::2], Sampling(16)
            ):
                got.append(pair)
        assert len(server.bodies) == len(got) == 4


@pytest.mark.parametrize("concurrency", [1, 3])
def test_what_a_server_bills_beyond_is_reserved_from_then_on(concurrency: int) -> None:
    with endpoint() as server:
        server.thinking = [400] * 100
        with pytest.raises(StageError, match=r"\d+ of 3000 are used and the next request may take 4\d\d"):
            ask(engine(server, max_total_tokens=3000, concurrency=concurrency), requests(100)[::2])
        assert 2500 < server.tokens <= 3000


def test_requests_under_way_reserve_the_excess_too() -> None:
    async def check() -> tuple[int, int]:
        budget = Budget(None, 1000)
        for _ in range(3):
            await budget.reserve(100)
        await budget.settle(100, 250)
        assert (budget.tokens, budget.held) == (250, 2 * 250)
        await budget.reserve(100)
        await budget.settle(100, None)  # no answer: what it may have cost
        await budget.settle(100, 90)
        return budget.tokens, budget.held

    assert asyncio.run(check()) == (250 + 250 + 90, 250)


@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": None}, {"total_tokens": 0}, {"completion_tokens": 3}, {"total_tokens": -900}]
)
def test_an_answer_without_its_bill_is_booked_at_its_reservation(usage: dict[str, Any] | None) -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, usage=usage))]
        made = engine(server, max_total_tokens=1000)
        answer = ask(made, requests(1))[0]
        assert answer.text.startswith("The answer is") and answer.prompt_tokens == 0
        assert len(server.bodies) == 1 and (made.budget.tokens, made.budget.held) == (ASKED, 0)


def test_a_bill_in_two_parts_is_a_bill() -> None:
    with endpoint() as server:
        server.planned = [(200, {}, completion({"messages": []}, usage={"prompt_tokens": 30, "completion_tokens": 7}))]
        made = engine(server)
        answer = ask(made, requests(1))[0]
        assert (answer.prompt_tokens, answer.output_tokens, made.budget.tokens) == (30, 7, 37)
