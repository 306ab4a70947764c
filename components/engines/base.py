"""Text generation behind one small protocol, so that a stage does not know which library answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

# content_filter: an endpoint withheld the answer, or the rest of it. too_long: the model's context cannot hold the
# question and its answer, so it was not asked.
FinishReason = Literal["stop", "length", "content_filter", "too_long"]
# What becomes of such a question: it ends the run, or counts as not answered.
TooLong = Literal["no_answer", "stop"]
# continued: the opening begins the assistant's turn and the model goes on; two_turn: for endpoints that cannot do that.
PrefillMode = Literal["continued", "two_turn"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, always in full: a model's own generation_config must not leak in.

    `temperature` 0 is greedy decoding and ignores `top_p`.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Request:
    """One answer to be written: the chat so far, and the words the assistant has already said ("" for none).

    `id` names it in messages. `seed` makes a sampled answer depend on this request alone, not on its neighbours in
    a batch. Requests with equal `messages` should be adjacent: engines compute their shared beginning once.
    """

    id: str
    messages: tuple[tuple[str, str], ...]  # (role, content)
    opening: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """What the model wrote after the opening, without special tokens. Counts are in the model's own tokens.

    `finish_reason` is "length" when `max_new_tokens` cut it off. `output_tokens` includes the end token.
    `reported_model` is the name that an endpoint gives the model it used, "" elsewhere: an alias moves.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    output_tokens: int
    reported_model: str = ""


class Engine(Protocol):
    name: str
    version: str  # library, its version and the number format: what could change an answer
    prefill_mode: PrefillMode

    @property
    def notes(self) -> dict[str, Any]:
        """What else a receipt should say, such as the requests that an endpoint got; {} for local engines."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        """Yield (position in `requests`, answer) as answers are done, each position once, in any order."""
        ...

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> list[str | None] | None:
        """The likeliest of each request's `letters` as the very next text; None for a request that no longer fits the
        model, and None in all for an engine that gives only free text."""
        ...

    def close(self) -> None:
        """Free the weights and end whatever was started; the engine cannot be used afterwards."""
        ...
