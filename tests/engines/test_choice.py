"""`auto` takes the engine that is done first; both models of a comparison must get the same one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.engines import choice
from components.errors import InputError


@pytest.fixture
def vllm_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: object())
    monkeypatch.setattr(choice, "has_gpu", lambda: False)


def test_auto_takes_the_quick_start_for_few_tokens_and_the_speed_for_many(
    tiny_model: Path, vllm_installed: None
) -> None:
    assert choice.choose_engine("auto", tiny_model, 1_000) == "transformers"
    assert choice.choose_engine("auto", tiny_model, 1_000_000) == "vllm"


def test_a_larger_model_reaches_the_turning_point_sooner(
    tiny_model: Path, vllm_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = 2_000
    assert choice.choose_engine("auto", tiny_model, few) == "transformers"
    monkeypatch.setattr(choice, "parameters", lambda folder: 8_000_000_000)
    assert choice.choose_engine("auto", tiny_model, few) == "vllm"


def test_auto_without_vllm_is_transformers(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert choice.choose_engine("auto", tiny_model, 10**9) == "transformers"
    with pytest.raises(InputError, match="vllm is not installed"):
        choice.choose_engine("vllm", tiny_model, 1)


def test_asked_for_is_taken(tiny_model: Path, vllm_installed: None) -> None:
    assert choice.choose_engine("transformers", tiny_model, 10**9) == "transformers"
    assert choice.choose_engine("vllm", tiny_model, 1) == "vllm"


def test_parameters_do_not_depend_on_the_number_format(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    folder = tmp_path / "half"
    shutil.copytree(tiny_model, folder)
    model.save_pretrained(folder)
    assert choice.parameters(folder) == choice.parameters(tiny_model) == sum(p.numel() for p in model.parameters())


def test_auto_dtype_is_one_of_the_two() -> None:
    assert choice.resolve_dtype("auto") in ("bfloat16", "float32")
    assert choice.resolve_dtype("float32") == "float32"


def test_a_model_is_spread_over_as_many_gpus_as_its_heads_allow(tmp_path: Path) -> None:
    from components.engines.vllm_engine import tensor_parallel

    (tmp_path / "config.json").write_text('{"num_attention_heads": 12}', encoding="utf-8")
    assert [tensor_parallel(tmp_path, 0, seen) for seen in (0, 1, 2, 4, 5, 8)] == [1, 1, 2, 4, 4, 6]
    assert [tensor_parallel(tmp_path, asked, 8) for asked in (1, 4, 6)] == [1, 4, 6]
    with pytest.raises(InputError, match="12 attention heads cannot be spread over 8 GPUs"):
        tensor_parallel(tmp_path, 8, 8)
