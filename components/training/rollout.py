"""Completions for GRPO on a CPU: the decoding loop of the transformers engine on a bf16 copy of the policy.

TRL generates with the trained weights: on a CPU that casts every fp32 weight at every token, and reads a question
once per completion of its group. The copy is refreshed before each generation, and each question is read once.
"""

from __future__ import annotations

import copy
from itertools import groupby
from typing import Any

import torch

from components.engines.base import Sampling
from components.engines.transformers_engine import TransformersEngine, _Row, use_grouped_attention
from components.training.lora import cast_weights
from components.training.rl.scoring import request_seed


class Rollout(TransformersEngine):
    """Callable as TRL's `rollout_func`: (prompts, trainer) -> ids of prompts and completions."""

    name = "rollout"

    def __init__(self, policy: Any, tokenizer: Any, sampling: Sampling, dtype: torch.dtype = torch.bfloat16) -> None:
        self.tokenizer = tokenizer
        self.sampling = sampling
        self.stop = frozenset(end_ids(policy, tokenizer))
        self.device = torch.device("cpu")
        self.model = cast_weights(copy.deepcopy(policy), dtype).requires_grad_(False).eval()
        use_grouped_attention(self.model)

    def __call__(self, prompts: list[str], trainer: Any) -> dict[str, Any]:
        """Prompts come repeated, one for each completion wanted; equal ones are neighbours.

        Every completion gets a seed of its own, made of the training's seed, its step and the row among those of all
        processes: a resumed training samples what the unbroken one would have, on any number of processes.
        """
        self._refresh(trainer.accelerator.unwrap_model(trainer.model))
        ids = [self.tokenizer(prompt)["input_ids"] for prompt in prompts]
        before = trainer.accelerator.process_index * len(prompts)  # each process has as many
        seeds = [request_seed(trainer.args.seed, trainer.state.global_step, before + row) for row in range(len(ids))]
        rows = [
            _Row(index, prompt, len(prompt) - 1, torch.Generator().manual_seed(seed), [])
            for index, (prompt, seed) in enumerate(zip(ids, seeds, strict=True))
        ]
        with torch.inference_mode():
            self._answer([list(group) for _, group in groupby(rows, key=lambda row: row.prompt)], self.sampling)
        # No log-probabilities: like TRL with its own generation, the sampled tokens count as on-policy.
        return {"prompt_ids": ids, "completion_ids": [row.output for row in rows], "logprobs": None}

    def _refresh(self, policy: Any) -> None:
        with torch.no_grad():
            for mine, trained in zip(self.model.parameters(), policy.parameters(), strict=True):
                mine.copy_(trained.full_tensor() if hasattr(trained, "full_tensor") else trained)


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a completion: those that the model declares and the tokenizer's (as in TRL)."""
    declared = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *([declared] if isinstance(declared, int) else declared or [])}
