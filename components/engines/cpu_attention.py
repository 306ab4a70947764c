"""Attention for one new token per row on a CPU, without copying the key-value cache of grouped-query models."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "biomed_r1_grouped"


def use_grouped_attention(model: Any) -> None:
    """Make `model` decode with `grouped_attention`; reading a prompt stays with transformers' own SDPA."""
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

    transformers repeats keys and values for every query head of a group: three copies of the whole cache at every
    step of SmolLM2. With one new token the heads of a group can stand in the place of the tokens instead: the same
    sums, nothing repeated, and a step three to four times as fast (64 rows of 250 tokens, bf16 and fp32).
    """
    rows, heads, new, size = query.shape
    key_heads = key.shape[1]
    if new != 1 or heads == key_heads:
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return out, None
    out = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, key_heads, heads // key_heads, size),
        key,
        value,
        attn_mask=attention_mask,
        scale=kwargs.get("scaling"),
    )
    return out.reshape(rows, 1, heads, size), None
