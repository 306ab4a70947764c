"""Attention inside each sequence of a pack, without a mask over the whole pack.

transformers masks a pack of T tokens by a T x T matrix, and every kernel then computes all T x T products: for 8,192
tokens of twelve traces that is as much work as all the weights' own products. Here the kernel is told where sequences
begin. On a GPU that is torch's flash attention for sequences of unequal lengths, in bf16; elsewhere each sequence is
given to torch's attention alone.
"""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any

from components.errors import StageError

NAME = "sequence_edges"  # as transformers' attn_implementation
# Models whose attention has nothing else in it: no window, no soft cap, no sinks.
_PLAIN = ("llama", "qwen2")


def attend_within_sequences(model: Any) -> bool:
    """Let a transformers model read packs this way (packing.pack_rows gives the edges); returns whether it does.

    A model that it was not written for keeps the mask, which is slower and as right.
    """
    from transformers import AttentionInterface

    config = model.config
    windowed = any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ())
    if config.model_type not in _PLAIN or windowed or config.attention_dropout:
        return False
    AttentionInterface.register(NAME, _attention)
    model.set_attn_implementation(NAME)
    return True


def _attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **given: Any
) -> tuple[Any, None]:
    """transformers' calling convention: (1, heads, tokens, size) in, (1, tokens, heads, size) out.

    `given` has cu_seq_lens_q, where each sequence begins and the last one ends, and max_length_q, the longest one's
    length. Raises StageError without them, because transformers makes no mask for this attention.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    edges = given.get("cu_seq_lens_q")
    if edges is None or attention_mask is not None:
        raise StageError(
            f"attention {NAME} reads packs only (packing.pack_rows); set another one to read other batches"
        )
    # Rotary embeddings leave fp32 under autocast, and the values are what the projections made.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if query.is_cuda and query.element_size() == 2:
        return _flash(module, query, key, value, scaling, edges, int(given["max_length_q"])), None
    sizes = edges.diff().tolist()
    parts = zip(query.split(sizes, dim=2), key.split(sizes, dim=2), value.split(sizes, dim=2), strict=True)
    outputs = [sdpa_attention_forward(module, *part, None, scaling=scaling)[0] for part in parts]
    return torch.cat(outputs, dim=1), None


def _flash(module: Any, query: Any, key: Any, value: Any, scale: float | None, edges: Any, longest: int) -> Any:
    from torch.nn.attention.varlen import varlen_attn

    groups = getattr(module, "num_key_value_groups", 1)

    def laid(heads: Any) -> Any:
        return heads[0].transpose(0, 1).contiguous()

    # Not every torch knows grouped heads here.
    key, value = (laid(heads).repeat_interleave(groups, dim=1) for heads in (key, value))
    output: Any = varlen_attn(laid(query), key, value, edges, edges, longest, longest, **_options(scale))
    return output[None]


@cache
def _options(scale: float | None) -> dict[str, Any]:
    """The scores' scale, and that a token reads what is before it, as far as this torch has names for them."""
    from torch.nn.attention.varlen import varlen_attn

    known = signature(varlen_attn).parameters
    causal = {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    return {**causal, **({"scale": scale} if "scale" in known else {})}
