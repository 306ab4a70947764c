"""A random two-layer Llama with SmolLM2's tokenizer: loads like any model and answers in milliseconds."""

from __future__ import annotations

from pathlib import Path


def tiny(folder: Path) -> Path:
    """Made in `folder` from the packaged SmolLM2's configuration and tokenizer, without its weights; returns it.

    Reading them takes a second; converting the weights, which nothing here needs, takes ten.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from components.platform.models import gguf_tokenizer, package_path

    _, packed = package_path("smollm2-135m-instruct")
    config = AutoConfig.from_pretrained(
        packed.parent,
        gguf_file=packed.name,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    config.head_dim = 16
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    gguf_tokenizer(packed, config.eos_token_id).save_pretrained(folder)
    return folder
