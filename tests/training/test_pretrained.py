"""Opening and closing a model: fp32 weights, a pad token by a written rule, a folder that plain transformers loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.errors import InputError
from components.training.pretrained import load_pretrained, save_plain, settle_end_token, settle_pad_token


def tokenizer(vocabulary: list[str], **special: str) -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=vocabulary[0])
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), **special)


@pytest.mark.parametrize(
    ("vocabulary", "special", "pad", "rule"),
    [
        (["u", "<e>", "<pad>", "<p>"], {"eos_token": "<e>", "pad_token": "<p>"}, "<p>", "kept <p>"),
        (["u", "<e>"], {"eos_token": "<e>", "pad_token": "<e>"}, "<e>", "kept <e> (also the end token"),
        (["u", "<e>", "<pad>"], {"eos_token": "<e>"}, "<pad>", "took <pad> from the vocabulary"),
        (
            ["u", "<|eot_id|>", "<|endoftext|>", "<|finetune_right_pad_id|>"],  # Llama 3.1: padding has a token
            {"eos_token": "<|eot_id|>"},
            "<|finetune_right_pad_id|>",
            "took <|finetune_right_pad_id|>",
        ),
        (["u", "<|endoftext|>"], {"eos_token": "<|endoftext|>"}, "<|endoftext|>", "took <|endoftext|> (also the end"),
    ],
)
def test_pad_token_rule(vocabulary: list[str], special: dict[str, str], pad: str, rule: str) -> None:
    made = tokenizer(vocabulary, **special)
    assert settle_pad_token(made).startswith(rule)
    assert made.pad_token == pad
    assert len(made) == len(vocabulary)  # never a new token: the embeddings keep their size


def test_end_token_follows_the_model() -> None:
    made = tokenizer(["u", "<start>", "<end>"], eos_token="<start>")
    assert settle_end_token(made, [2, 1]) == "kept <start>"
    assert settle_end_token(made, 2) == "took <end> from the model's generation config in place of <start>"
    assert made.eos_token == "<end>"
    with pytest.raises(InputError, match="end token"):
        settle_end_token(tokenizer(["u"]), None)


def test_weights_are_fp32_whatever_the_file_holds(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    opened = load_pretrained(tiny_model, seed=0)
    save_plain(opened.model, opened.tokenizer, tmp_path / "half", "bfloat16")
    assert json.loads((tmp_path / "half/config.json").read_text())["dtype"] == "bfloat16"
    again = load_pretrained(tmp_path / "half", seed=0)
    assert {p.dtype for p in again.model.parameters()} == {torch.float32}

    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "half")
    assert plain.dtype == torch.bfloat16
    words = AutoTokenizer.from_pretrained(tmp_path / "half")
    assert words.chat_template and words.pad_token and words.eos_token == "<|im_end|>"
    kinds = {path.suffix for path in (tmp_path / "half").iterdir()}
    assert kinds <= {".safetensors", ".json", ".jinja", ".txt"}


def test_a_model_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        load_pretrained(folder, seed=0)
