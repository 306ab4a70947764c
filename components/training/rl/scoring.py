"""Rewards and requests of a GRPO step: each completion is read once, and each request has a seed of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

Rewards = dict[str, float | None]


def once(
    names: Sequence[str], score: Callable[[str, dict[str, str], str, str], Rewards]
) -> list[Callable[..., list[float | None]]]:
    """A function for each reward with TRL's calling convention: lists in, a list out, None where it does not apply.

    TRL calls them one after another with the same list of completions; the first reads them for all.
    """
    last: dict[str, Any] = {}

    def scored(completions: list[str], options: list[str], answer_idx: list[str], opening: list[str]) -> list[Rewards]:
        if last.get("completions") is not completions:
            rows = zip(completions, options, answer_idx, opening, strict=True)
            values = [score(text, json.loads(letters), answer, start) for text, letters, answer, start in rows]
            last.update(completions=completions, values=values)
        found: list[Rewards] = last["values"]
        return found

    def named(name: str) -> Callable[..., list[float | None]]:
        def reward(
            completions: list[str], options: list[str], answer_idx: list[str], opening: list[str], **_: Any
        ) -> list[float | None]:
            return [values[name] for values in scored(completions, options, answer_idx, opening)]

        reward.__name__ = name
        return reward

    return [named(name) for name in names]


def request_seed(seed: int, step: int, row: int) -> int:
    """The seed of one request, of 63 bits: of the training, its step, and the row of the generation."""
    digest = hashlib.sha256(f"{seed}|{step}|{row}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_requests(trainer: Any, seed: int) -> None:
    """Give each request to TRL's vLLM its own seed. vLLM's generator is in no checkpoint: with it, a resumed training
    would sample other completions than the unbroken one."""
    llm = trainer.vllm_generation.llm
    inner = llm.generate
    group = trainer.accelerator.process_index // trainer.vllm_generation.tensor_parallel_size

    def generate(prompts: Sequence[Any], sampling_params: Any, **others: Any) -> Any:
        each = []
        for row in range(group * len(prompts), (group + 1) * len(prompts)):
            own = sampling_params.clone()
            own.seed = request_seed(seed, trainer.state.global_step, row)
            each.append(own)
        return inner(prompts, sampling_params=each, **others)

    llm.generate = generate


def log_dropped(trainer: Any) -> None:
    """Log which share of the completions (or tokens) TRL leaves out because vLLM and the trainer disagree on them.

    TRL sets their importance ratio to zero and says nothing (`sequence_mask`).
    """
    inner = trainer._generate_and_score_completions

    def scored(inputs: Any) -> Any:
        output = inner(inputs)
        ratio = output.get("importance_sampling_ratio")
        if ratio is not None:
            share = (ratio == 0).float().mean()
            mode = "train" if trainer.model.training else "eval"
            trainer._metrics[mode]["sampling/dropped_share"].append(trainer.accelerator.gather(share).mean().item())
        return output

    trainer._generate_and_score_completions = scored
