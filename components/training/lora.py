"""LoRA through `peft`: small matrices are trained beside frozen weights, and added to them at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError

ADAPTER = "adapter"  # beside the merged weights in a trained model's folder


class Lora(BaseModel):
    """A recipe's `lora` section. Published as hyper-parameters of no model here: free choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(64, ge=1)
    alpha: int = Field(128, ge=1)  # the update is scaled by alpha / rank
    dropout: float = Field(0.0, ge=0, lt=1)


def add_adapter(model: Any, lora: Lora, seed: int) -> Any:
    """The model with trainable matrices (fp32) at every linear layer of its blocks; its own weights are frozen, bf16.

    Frozen weights in bf16 lose nothing that training could have used: they do not move. Raises InputError without
    peft.
    """
    import torch

    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError("lora: the package peft is not installed; pip install 'biomed-r1[lora]'") from None
    torch.manual_seed(seed)
    cast_weights(model, torch.bfloat16 if torch.cuda.is_available() else torch.float32)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",  # every linear layer but the head
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)  # which keeps the adapter in fp32


def cast_weights(model: Any, dtype: Any) -> Any:
    """The model with its weights in `dtype`, and only those.

    `model.to(dtype)` also rounds the rotary frequencies, which are a buffer: in bf16, positions of some thousand tokens
    turn by radians more or less than in the same model once it is loaded from its file.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def merged(model: Any, folder: Path) -> Any:
    """The plain model with the adapter added to its weights; the adapter alone is written to `folder`/adapter."""
    import torch

    model.save_pretrained(folder / ADAPTER)
    # In bf16 the sum would round away what was learnt.
    return model.to(torch.float32).merge_and_unload()


def plain_model(model: Any) -> Any:
    """The language model inside one with an adapter; any other as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
