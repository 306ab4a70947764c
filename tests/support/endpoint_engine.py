"""The endpoint engine on a test server: quick to give up, quick to try again."""

from __future__ import annotations

from typing import Any

from faulty_endpoint import FaultyEndpoint

from components.engines.base import Generation, Request, Sampling
from components.engines.openai.client import OpenAIEngine
from components.engines.openai.config import EndpointConfig

QUICK = {"timeout_seconds": 0.8, "backoff_seconds": 0.01, "attempts": 30, "concurrency": 6}


def requests(count: int = 40) -> list[Request]:
    openings = ("", "Hmm, perhaps A.")
    return [
        Request(f"item q{n}", (("user", f"What is case {n // 2}?"),), openings[n % 2], seed=n) for n in range(count)
    ]


def engine(server: FaultyEndpoint, **changes: Any) -> OpenAIEngine:
    return OpenAIEngine("some-model", EndpointConfig(**{"base_url": server.url, **QUICK, **changes}))


def ask(made: OpenAIEngine, todo: list[Request], sampling: Sampling | None = None) -> list[Generation]:
    pairs = list(made.generate(todo, sampling or Sampling(16)))
    assert sorted(index for index, _ in pairs) == list(range(len(todo)))
    return [answer for _, answer in sorted(pairs)]


def one(server: FaultyEndpoint, opening: str = "", **changes: Any) -> Generation:
    return ask(engine(server, **changes), [Request("item q1", (("user", "Why?"),), opening)])[0]
