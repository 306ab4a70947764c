"""Answers from `transformers`: runs everywhere, starts in seconds.

Its own decoding loop instead of `model.generate`: what prompts share (the template's head, and an item's question in
its four settings) is read once, and answers that have ended leave the batch. The sums are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from components.engines.base import Generation, PrefillMode, Request, Sampling, TooLong
from components.engines.cpu_attention import use_grouped_attention
from components.engines.rendering import (
    context_limit,
    encode_all,
    encode_fitting,
    generation,
    load_tokenizer,
    next_tokens,
    stop_ids,
)
from components.platform.machine import lengths_that_vary

# Ended rows leave the batch once they are this share of it: leaving copies the cache, which costs about one step.
SHRINK_SHARE = 0.125


@dataclass
class _Row:
    """One answer being written; `index` is its request's position."""

    index: int
    prompt: list[int]
    shared: int  # leading prompt tokens that its group has in common
    generator: torch.Generator
    output: list[int]


class TransformersEngine:
    name = "transformers"
    prefill_mode: PrefillMode = "continued"
    notes: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, folder: Path, dtype: str, batch_size: int = 64, max_context: int = 8192, too_long: TooLong = "stop"
    ) -> None:
        """Load the plain transformers checkpoint in `folder`; `dtype` is a torch name such as "bfloat16"."""
        self.version = f"transformers {version('transformers')} {dtype}"
        self.batch_size, self.too_long = batch_size, too_long
        self.max_context = context_limit(folder, max_context)
        self.tokenizer = load_tokenizer(folder)
        self.stop = stop_ids(folder, self.tokenizer)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        logging.disable_progress_bar()
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        )
        if self.device.type == "cpu":
            use_grouped_attention(model)
        else:
            lengths_that_vary()  # each new token makes a new length
        self.model = model.to(self.device).eval()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        prompts, left_out = encode_all(
            self.tokenizer, requests, self.max_context, sampling.max_new_tokens, self.too_long
        )
        yield from left_out.items()
        rows = [
            _Row(
                index=index,
                prompt=prompt,
                shared=0,
                generator=torch.Generator().manual_seed(requests[index].seed),
                output=[],
            )
            for index, prompt in prompts.items()
        ]
        for batch in _batches(_groups(rows, requests), self.batch_size):
            with torch.inference_mode():
                self._answer(batch, sampling)
            for row in (row for group in batch for row in group):
                yield row.index, generation(self.tokenizer, row.prompt, row.output, self.stop)

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> list[str | None]:
        """The best of the letters' log-probabilities (their order is that of the logits)."""
        picked: list[str | None] = [None] * len(requests)
        rows = [
            _Row(index=place, prompt=ids, shared=0, generator=torch.Generator(), output=[])
            for place, ids in encode_fitting(self.tokenizer, requests, self.max_context).items()
        ]
        for batch in _batches(_groups(rows, requests), self.batch_size):
            with torch.inference_mode():
                logits, _, _ = self._prefill(batch)
            for row, scores in zip((row for group in batch for row in group), logits, strict=True):
                tokens = next_tokens(self.tokenizer, letters[row.index])
                picked[row.index] = max(tokens, key=lambda letter: float(scores[tokens[letter]]))
        return picked

    def close(self) -> None:
        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _prefill(self, batch: list[list[_Row]]) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Read every row's prompt: what all share (the template's head), what each group shares (the question), and
        each row's own part (the opening).

        Returns the next token's logits (rows, vocabulary), the mask and the cache.
        """
        rows = [row for group in batch for row in group]
        head = min(_common([row.prompt for row in rows]), *(row.shared for row in rows))
        levels = [
            ([0], [rows[0].prompt[:head]]),
            ([0] * len(batch), [group[0].prompt[head : group[0].shared] for group in batch]),
            ([g for g, group in enumerate(batch) for _ in group], [row.prompt[row.shared :] for row in rows]),
        ]
        cache = DynamicCache(config=self.model.config)
        mask = torch.zeros(1, 0, dtype=torch.long)
        for parents, pieces in levels:
            mask = _select(mask, cache, parents)
            if any(pieces):
                logits, mask = self._read(pieces, mask, cache)
        return logits, mask, cache

    def _answer(self, batch: list[list[_Row]], sampling: Sampling) -> None:
        """Write every row's output, token by token after its prompt."""
        rows = [row for group in batch for row in group]
        logits, mask, cache = self._prefill(batch)
        for step in range(sampling.max_new_tokens):
            for row, token in zip(rows, choose(logits, [row.generator for row in rows], sampling), strict=True):
                if not self._ended(row):
                    row.output.append(token)
            alive = [i for i, row in enumerate(rows) if not self._ended(row)]
            if not alive or step + 1 == sampling.max_new_tokens:
                return
            if len(rows) - len(alive) >= SHRINK_SHARE * len(rows):
                rows, mask = [rows[i] for i in alive], _select(mask, cache, alive)
            logits, mask = self._read([row.output[-1:] for row in rows], mask, cache)

    def _ended(self, row: _Row) -> bool:
        return bool(row.output) and row.output[-1] in self.stop

    def _read(self, pieces: list[list[int]], mask: torch.Tensor, cache: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Feed each row its next tokens, padded on the left and hidden by the mask.

        mask: (rows, tokens so far), 1 where a token counts. Returns float32 logits of the next token (rows,
        vocabulary) and the longer mask.
        """
        width = max(len(piece) for piece in pieces)
        ids = torch.tensor([[0] * (width - len(piece)) + piece for piece in pieces])
        new = torch.tensor([[0] * (width - len(piece)) + [1] * len(piece) for piece in pieces])
        mask = torch.cat([mask, new], dim=1)
        # Positions count real tokens only, so that padding anywhere before a token does not move it.
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -width:]
        out = self.model(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().cpu(), mask


def _select(mask: torch.Tensor, cache: Any, rows: list[int]) -> torch.Tensor:
    """Keep (or repeat) these rows of the cache, in place, and of the mask, returned."""
    chosen = torch.tensor(rows)
    cache.batch_select_indices(chosen)
    return mask[chosen]


def choose(logits: torch.Tensor, generators: Sequence[torch.Generator], sampling: Sampling) -> list[int]:
    """The next token of each row; logits (rows, vocabulary). Each row draws from its own generator."""
    if sampling.temperature == 0:
        return [int(token) for token in logits.argmax(dim=-1)]
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True)
        # A token goes when those more likely than it already reach top_p; the first always stays.
        ordered[ordered.cumsum(dim=-1) - ordered >= sampling.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(-1, order, ordered)
    return [int(torch.multinomial(p, 1, generator=g)) for p, g in zip(probabilities, generators, strict=True)]


def _groups(rows: list[_Row], requests: Sequence[Request]) -> list[list[_Row]]:
    """Neighbours that ask the same thing, longest first: a batch that does not fit memory fails at once."""
    groups = [list(rows_) for _, rows_ in groupby(rows, key=lambda row: requests[row.index].messages)]
    for group in groups:
        # The last prompt token is always read by the row itself: its logits start the answer.
        shared = min(_common([row.prompt for row in group]), *(len(row.prompt) - 1 for row in group))
        for row in group:
            row.shared = shared
    return sorted(groups, key=lambda group: max(len(row.prompt) for row in group), reverse=True)


def _common(prompts: list[list[int]]) -> int:
    """How many leading tokens all have in common: what the first and the last in order share, all share."""
    first, last = min(prompts), max(prompts)
    differ = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differ, min(len(first), len(last)))


def _batches(groups: list[list[_Row]], batch_size: int) -> Iterator[list[list[_Row]]]:
    """Groups put together up to `batch_size` rows (one group at least)."""
    batch: list[list[_Row]] = []
    for group in groups:
        if batch and sum(map(len, batch)) + len(group) > batch_size:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch
