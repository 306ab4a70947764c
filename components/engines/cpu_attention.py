"""Attention for one new token per row on a CPU, without copying the cache for grouped-query models."""

from __future__ import annotations

from typing import Any

import torch

NAME = "biomed_r1_grouped"


def use_grouped_attention(model: Any) -> None:
    """Make `model` decode with `grouped_attention`; reading a prompt stays with transformers' own SDPA."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query (rows, heads, new tokens, size), key and value (rows, key heads, all tokens, size).

    transformers repeats keys and values for every query head of a group (three times the cache of SmolLM2, in
    every layer at every step). With one new token the heads of a group can stand in the place of the tokens
    instead: the same sums with nothing copied, and twice the speed on two cores.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, new, size = query.shape
    key_heads = key.shape[1]
    if new != 1 or heads == key_heads:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)  # type: ignore[no-any-return]
    out = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key_heads, heads // key_heads, size),
        key,
        value,
        attn_mask=attention_mask,
        scale=kwargs.get("scaling"),
    )
    return out.reshape(rows, 1, heads, size), None
