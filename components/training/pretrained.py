"""A causal language model opened for training and closed again as a plain transformers folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.errors import InputError
from components.platform.folders.deletion import workspace
from components.platform.folders.outputs import claimed, replace_contents
from components.training.lora import merged

Dtype = Literal["float32", "bfloat16"]

# Tokens that a vocabulary holds for padding only (Llama 3.1, many others, BERT, Qwen and SmolLM2, in this order).
PADDING_TOKENS = ("<|finetune_right_pad_id|>", "<pad>", "[PAD]", "<|pad|>", "<|endoftext|>")


@dataclass(frozen=True)
class Pretrained:
    """Model (fp32 weights) and tokenizer, with what was decided about them, in words for the evidence."""

    model: Any
    tokenizer: Any
    pad_rule: str
    end_rule: str


def load_pretrained(folder: Path, seed: int) -> Pretrained:
    """Open a transformers folder for training: safetensors only, fp32 weights, no code from the folder.

    bf16 weights do not move at the learning rates used here (a step is smaller than half a unit in the last place),
    so weights are fp32 whatever the file holds; bf16 is for the arithmetic only. Raises InputError without a chat
    template, as a prompt cannot be written then.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not tokenizer.chat_template:
        raise InputError(f"model {folder}: its tokenizer has no chat template; take an instruction-tuned model")
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, local_files_only=True, use_safetensors=True
    )
    end_rule = settle_end_token(tokenizer, model.generation_config.eos_token_id)
    pad_rule = settle_pad_token(tokenizer)
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return Pretrained(model, tokenizer, pad_rule, end_rule)


def settle_end_token(tokenizer: Any, declared: int | Sequence[int] | None) -> str:
    """Make the tokenizer's end token one that the model itself stops at; returns what was done.

    Conversions get this wrong (a GGUF tokenizer can name the token that *opens* a turn as the one that ends it).
    """
    ids = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    if tokenizer.eos_token_id is not None and (not ids or tokenizer.eos_token_id in ids):
        return f"kept {tokenizer.eos_token}"
    if not ids:
        raise InputError(f"model {tokenizer.name_or_path}: neither tokenizer nor generation config has an end token")
    before = tokenizer.eos_token
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ids[0])
    return f"took {tokenizer.eos_token} from the model's generation config in place of {before}"


def settle_pad_token(tokenizer: Any) -> str:
    """Make sure there is a pad token, never by adding one (that would resize the embeddings); returns what was done.

    1. The tokenizer's own. 2. The first of PADDING_TOKENS in the vocabulary that does not end a turn. 3. The end token.
    A pad token that is also the end token is harmless here: every mask is made from positions, never by comparing
    tokens, so the end of the turn stays in the loss.
    """
    shared = " (also the end token; masks are made from positions)"
    if tokenizer.pad_token is not None:
        return f"kept {tokenizer.pad_token}" + (shared if tokenizer.pad_token == tokenizer.eos_token else "")
    vocabulary = tokenizer.get_vocab()
    for token in PADDING_TOKENS:
        if token in vocabulary and token != tokenizer.eos_token:
            tokenizer.pad_token = token
            return f"took {token} from the vocabulary"
    tokenizer.pad_token = tokenizer.eos_token
    return f"took {tokenizer.eos_token}{shared}"


def save_plain(model: Any, tokenizer: Any, folder: Path, dtype: Dtype) -> None:
    """Write a folder that vanilla AutoModelForCausalLM, vLLM and a hub load; it is a model only when complete.

    No optimizer state, no pickles; the chat template travels in it. A LoRA adapter is added to the weights, and lies
    beside them in `adapter/`. An earlier model of ours is replaced; raises
    InputError for a folder with other people's files.
    """
    import torch

    # Inside, because a folder that is a mount point has no neighbours on its disk.
    with claimed(folder) as out, workspace(out, ".saving-") as made:
        if hasattr(model, "merge_and_unload"):
            model = merged(model, made)
        model.to(getattr(torch, dtype))
        model.config.use_cache = True
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        replace_contents(out, made)
