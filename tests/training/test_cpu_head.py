"""The head that scores labelled positions only gives TRL's numbers and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_and_gradients_are_those_of_trl(tiny_model: Path, temperature: float) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    from components.training.cpu_head import score_labels_only

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    add_fused_lm_head(model, temperature=temperature, outputs=("log_probs", "entropy", "is_top1"))
    ids = torch.randint(3, 40_000, (3, 12), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :5] = -100
    labels[1, 9:] = -100  # padding
    labels[2] = -100  # nothing to learn

    def run() -> tuple[Any, list[torch.Tensor]]:
        model.zero_grad()
        out = model(input_ids=ids, labels=labels, fused_lm_head=True)
        (-out.log_probs.sum()).backward()
        return out, [p.grad.clone() for p in model.parameters()]

    theirs, their_gradients = run()
    assert score_labels_only(model, temperature)
    ours, our_gradients = run()
    assert ours.log_probs.shape == (3, 11)
    for name in ("loss", "log_probs", "entropy", "is_top1", "label_mask"):
        torch.testing.assert_close(getattr(ours, name).float(), getattr(theirs, name).float(), atol=1e-4, rtol=1e-4)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert (mine - other).abs().max() <= 1e-4 * other.abs().max()  # sums in another order
    # An ordinary call, as in generation, is untouched.
    assert model(input_ids=ids).logits.shape == (3, 12, model.config.vocab_size)
    assert model.generate(ids[:1], max_new_tokens=2, do_sample=False).shape == (1, 14)


def test_models_that_change_their_logits_keep_trls_head(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    from components.training.cpu_head import score_labels_only

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.config.final_logit_softcapping = 30.0
    before = model.forward
    assert not score_labels_only(model)
    assert model.forward == before
