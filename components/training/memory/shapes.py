"""The sizes of a language model: of those the recipes name, from their published configs, else from config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.platform.models import ENDPOINT, local_model


@dataclass(frozen=True)
class Shape:
    """A decoder of `layers` equal blocks with grouped attention and a gated MLP (Llama, Qwen2, SmolLM2)."""

    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool = False

    @property
    def block(self) -> int:
        """Weights of one block; norms and biases are left out, which is 0.01 %."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def outer(self) -> int:
        """Weights of the embedding and the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self.layers * self.block + self.outer

    def lora(self, rank: int) -> int:
        """Weights of an adapter of this rank at every linear layer of the blocks."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        sides = [(self.hidden, q), (self.hidden, kv), (self.hidden, kv), (q, self.hidden)]
        sides += [(self.hidden, self.intermediate)] * 3
        return self.layers * rank * sum(a + b for a, b in sides)


# config.json of meta-llama/Llama-3.1-8B-Instruct and Qwen/Qwen2.5-32B-Instruct.
KNOWN = {
    "meta-llama/Llama-3.1-8B-Instruct": Shape(32, 4096, 14336, 128256, 32, 8, 128),
    "Qwen/Qwen2.5-32B-Instruct": Shape(64, 5120, 27648, 152064, 40, 8, 128),
}


def shape_of(reference: str) -> Shape | None:
    """The shape of a model reference; None where only a download or a conversion could say."""
    name = reference.removeprefix("hf:").partition("@")[0]
    if name in KNOWN:
        return KNOWN[name]
    if reference.startswith(("hf:", "s3://", "registry:", "package:", ENDPOINT)):
        return None
    file = local_model(reference) / "config.json"
    return read_shape(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def read_shape(config: Mapping[str, Any]) -> Shape | None:
    """The shape that a config.json describes; None for another kind of model."""
    try:
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError):
        return None
