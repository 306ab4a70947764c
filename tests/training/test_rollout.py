"""Completions for GRPO: the policy's own, from its current weights, and the same again from the same random state."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from components.engines.base import Sampling


@pytest.fixture
def policy(tiny_model: Path) -> Any:
    from components.training.pretrained import load_pretrained

    return load_pretrained(tiny_model, seed=0)


def rollout(policy: Any, **sampling: Any) -> Any:
    from components.training.rollout import Rollout

    return Rollout(policy.model, policy.tokenizer, Sampling(12, **sampling), torch.float32)


def trainer(policy: Any, seed: int = 1, step: int = 0, process: int = 0) -> Any:
    return SimpleNamespace(
        model=policy.model,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model, process_index=process),
        args=SimpleNamespace(seed=seed),
        state=SimpleNamespace(global_step=step),
    )


PROMPTS = [
    "<|im_start|>user\nOne<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nA longer second one<|im_end|>\n",
]


def test_greedy_completions_are_those_of_generate(policy: Any) -> None:
    with torch.no_grad():
        for parameter in policy.model.parameters():  # weights that the copy has not seen yet
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    made = rollout(policy)
    with torch.no_grad():
        policy.model.model.norm.weight.mul_(1.5)
        policy.model.lm_head.weight.copy_(policy.model.lm_head.weight.flip(0))
    result = made([p for p in PROMPTS for _ in range(2)], trainer(policy))
    assert result["logprobs"] is None
    for prompt, ids, output in zip(
        [p for p in PROMPTS for _ in range(2)], result["prompt_ids"], result["completion_ids"], strict=True
    ):
        expected = policy.tokenizer(prompt, return_tensors="pt")
        assert ids == expected["input_ids"][0].tolist()
        generated = policy.model.generate(**expected, max_new_tokens=12, do_sample=False)
        assert output == generated[0, len(ids) :].tolist()


def test_a_group_samples_different_completions_of_seed_step_and_row(policy: Any) -> None:
    made = rollout(policy, temperature=1.0)

    def sample(count: int = 4, **where: int) -> list[list[int]]:
        return made([PROMPTS[0]] * count, trainer(policy, **where))["completion_ids"]  # type: ignore[no-any-return]

    first = sample()
    assert len({tuple(output) for output in first}) == 4
    assert sample() == first
    assert sample(seed=2) != first
    assert sample(step=1) != first
    # Two processes sample what one does, each its own half.
    assert sample(2) + sample(2, process=1) == first


def test_completions_end_at_the_end_token_and_at_the_limit(policy: Any) -> None:
    made = rollout(policy, temperature=1.0)
    made.stop = frozenset(range(0, policy.model.config.vocab_size, 4))  # a quarter of all tokens ends a turn
    outputs = made([PROMPTS[1]] * 16, trainer(policy))["completion_ids"]
    assert {len(output) for output in outputs} != {12}
    for output in outputs:
        assert len(output) <= 12
        assert not any(token in made.stop for token in output[:-1])
        assert output[-1] in made.stop or len(output) == 12
