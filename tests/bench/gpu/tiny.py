"""A tokenizer with a chat template, and a small model in a folder, made from nothing: the machine has no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import TINY, random_model

from components.training.memory.shapes import Shape

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer_of(size: int) -> Any:
    """Bytes and four special tokens, whatever `size` the embedding has."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    assert len(vocabulary) <= size
    inner = Tokenizer(models.BPE(vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True) for token in special])
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<pad>")
    made.chat_template = TEMPLATE
    return made


def write_model(folder: Path, where: Any, shape: Shape = TINY) -> Path:
    model = random_model(shape, where)
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    tokenizer_of(shape.vocabulary).save_pretrained(folder)
    return folder
