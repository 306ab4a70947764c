"""A random two-layer Llama with SmolLM2's tokenizer: loads like any model and answers in milliseconds."""

from __future__ import annotations

import shutil
from pathlib import Path


def tiny(smollm: Path, folder: Path) -> Path:
    """Made in `folder` from the plain transformers folder of SmolLM2; returns `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(smollm, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = AutoConfig.from_pretrained(
        smollm, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    config.head_dim = 16
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder
