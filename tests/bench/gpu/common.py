"""What the parts of the GPU measurement share: options, random models of known shapes, JSON out."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from components.training.memory.shapes import KNOWN, Shape

LLAMA_1B = Shape(16, 2048, 8192, 128256, 32, 8, 64, tied=True)  # config.json of meta-llama/Llama-3.2-1B
HALF = Shape(24, 1024, 4096, 32768, 16, 8, 64, tied=True)  # 0.4B: 4.6 GB of weights and optimizer
SMALL = Shape(12, 768, 2048, 1024, 12, 4, 64, tied=True)  # 0.08B
TINY = Shape(2, 64, 128, 512, 4, 2, 16, tied=True)
LLAMA_8B = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
QWEN_32B = KNOWN["Qwen/Qwen2.5-32B-Instruct"]


def options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--cpu", action="store_true", help="tiny shapes, to see that the script runs")
    return parser.parse_args()


def device(cpu: bool) -> torch.device:
    return torch.device("cpu" if cpu else "cuda")


def config_of(shape: Shape, attention: str = "sdpa") -> Any:
    """A Llama of this shape: Qwen2's biases are 0.01 % of its weights."""
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        vocab_size=shape.vocabulary,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=32768,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        attn_implementation=attention,
    )


def random_model(shape: Shape, where: torch.device, attention: str = "sdpa") -> Any:
    """A model with random fp32 weights, made where it will be used."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    with where:
        return AutoModelForCausalLM.from_config(config_of(shape, attention), dtype=torch.float32)


def flops_per_token(shape: Shape) -> float:
    """Forward and backward without attention's own products and without recomputing: six for each weight, the
    embedding's lookup left out."""
    used = shape.layers * shape.block + shape.vocabulary * shape.hidden
    return 6.0 * used


def save(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def clock(where: torch.device) -> float:
    if where.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
