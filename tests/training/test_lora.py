"""LoRA: only the adapter learns, and what is handed on is a plain model with the adapter beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, sft
from components.training.lora import Lora, add_adapter

CONFIG = SftConfig(
    max_steps=3, save_steps=2, global_batch=2, learning_rate=3e-3, device="cpu", lora=Lora(rank=4, alpha=4)
)


def mix(tmp_path: Path) -> Path:
    messages = json.dumps([{"role": "user", "content": "Which metal?"}])
    rows = [{"prompt": messages, "opening": "", "completion": "Because.\nThe answer is B."}] * 4
    write_rows(rows, tmp_path / "sft.parquet")
    return tmp_path / "sft.parquet"


def test_without_peft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'biomed-r1\[lora\]'"):
        add_adapter(object(), Lora(), 0)


def test_frozen_weights_are_bf16_on_a_gpu_and_positions_are_as_exact_as_before(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotary frequencies in bf16 would train another model than the one that is loaded afterwards."""
    pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    adapted = add_adapter(model, CONFIG.lora or Lora(), 0)
    trained = {parameter.dtype for parameter in adapted.parameters() if parameter.requires_grad}
    frozen = {parameter.dtype for parameter in adapted.parameters() if not parameter.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.bfloat16})
    assert any("inv_freq" in name for name in before)
    for name, buffer in model.named_buffers():
        assert buffer.dtype == torch.float32 and torch.equal(buffer, before[name]), name


def test_a_lora_training_hands_on_merged_weights_and_the_adapter(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    checkpoints = str(tmp_path / "c")
    whole = sft(mix(tmp_path), str(tiny_model), CONFIG, checkpoints, tmp_path / "out")
    assert whole["metrics"]["loss_last"] < whole["metrics"]["loss_first"]
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = torch.arange(20)[None]
    beside = PeftModel.from_pretrained(base, tmp_path / "out" / "adapter").eval()
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, beside(ids).logits, atol=1e-4)
    before, after = load_file(tiny_model / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("proj" in name for name in changed), "embedding, head and norms are as they were"
    again = sft(mix(tmp_path), str(tiny_model), CONFIG, checkpoints, tmp_path / "again")
    assert again["resumed_from_step"] == 2 and again["weights_sha256"] == whole["weights_sha256"]
