"""How a step is split, and the memory sum of one GPU: the published shapes, and each term by hand on a small one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.errors import InputError
from components.training.memory.shapes import KNOWN, Shape, read_shape, shape_of
from components.training.memory.terms import GIB, Work, terms, total
from components.training.place import TrainerPlace, VllmPlace

LLAMA = KNOWN["meta-llama/Llama-3.1-8B-Instruct"]
QWEN = KNOWN["Qwen/Qwen2.5-32B-Instruct"]


def test_the_published_sizes_are_met() -> None:
    assert LLAMA.parameters / 1e9 == pytest.approx(8.03, abs=0.01)
    assert QWEN.parameters / 1e9 == pytest.approx(32.76, abs=0.01)


def test_a_whole_8b_on_one_gpu_is_known_to_need_120_gib() -> None:
    one = TrainerPlace(gpus=1, gpu_gib=79)
    found = terms(LLAMA, Work("sft", 8192, 8, True, True), one)
    assert found[0].name == "weights, gradients, optimizer"
    assert found[0].size / GIB == pytest.approx(119.7, abs=0.1)


def test_32b_fits_two_nodes_and_not_one() -> None:
    work = Work("sft", 8192, 8, True, True)
    one = TrainerPlace(gpus=8, launch="torchrun", sharding="full")
    two = TrainerPlace(nodes=2, gpus=8, launch="trainjob", sharding="full")
    assert total(terms(QWEN, work, one)) / GIB > 79 > total(terms(QWEN, work, two)) / GIB
    lora = Work("sft", 8192, 8, True, True, lora_rank=64)
    assert total(terms(QWEN, lora, one)) / GIB < 40


def test_vllm_counts_beside_the_gradients_unless_it_sleeps() -> None:
    work = Work("grpo", 4096, 8, True, True, vllm=True)

    def size(**vllm: Any) -> float:
        place = TrainerPlace(gpus=8, gpu_gib=79, launch="torchrun", sharding="full", vllm=VllmPlace(**vllm))
        return total(terms(LLAMA, work, place)) / GIB

    assert size(memory=0.3) - total(terms(LLAMA, Work("grpo", 4096, 8, True, True), _eight())) / GIB == pytest.approx(
        0.3 * 79
    )
    assert size(memory=0.3, sleep=True) < size(memory=0.3)


def _eight() -> TrainerPlace:
    return TrainerPlace(gpus=8, gpu_gib=79, launch="torchrun", sharding="full")


def test_the_shape_of_a_folder_is_that_of_its_weights(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    shape = shape_of(str(tiny_model))
    assert shape is not None
    weights = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(tiny_model).parameters())
    assert shape.parameters == pytest.approx(weights, rel=0.02)  # norms and biases are left out
    assert read_shape(json.loads('{"model_type": "bert"}')) is None
    assert shape_of("hf:somebody/something@abc") is None


@given(st.integers(1, 4), st.integers(0, 8), st.integers(1, 64), st.integers(1, 9))
def test_a_step_is_split_without_a_rest(nodes: int, gpus: int, share: int, micro: int) -> None:
    gpus = max(gpus, int(nodes > 1))
    place = TrainerPlace(nodes=nodes, gpus=gpus, launch="trainjob", micro_batch=micro)
    sequences = share * place.processes
    split = place.split(sequences, "x")
    assert split.micro_batch <= micro
    assert split.micro_batch * split.accumulation * place.processes == sequences
    if place.processes > 1:
        with pytest.raises(InputError, match="cannot be split evenly"):
            place.split(sequences + 1, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpus": 8}, "process drives one GPU, not 8"),
        ({"nodes": 2, "gpus": 8, "launch": "torchrun"}, "2 nodes need trainjob"),
        ({"nodes": 2, "launch": "trainjob"}, "say how many each node has"),
        ({"offload": "cpu"}, "goes with sharding"),
        ({"gpus": 8, "launch": "torchrun", "vllm": {"tensor_parallel": 3}}, "must divide 8"),
        ({"gpu": 8}, "gpu"),
    ],
)
def test_a_place_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainerPlace.model_validate(values)


def test_the_terms_of_a_small_shape_by_hand() -> None:
    shape = Shape(layers=2, hidden=8, intermediate=16, vocabulary=10, heads=2, kv_heads=1, head_dim=4, tied=True)
    assert shape.block == 8 * 4 * 6 + 3 * 8 * 16 and shape.outer == 80 and shape.lora(1) == 2 * (16 + 12 * 2 + 16 + 72)
    found = {t.name: t.size for t in terms(shape, Work("sft", 3, 0, False, False), TrainerPlace())}
    assert found["weights, gradients, optimizer"] == 8 * (2 * shape.block + 80)
    assert found["activations"] == 4 * 3 * 2 * (16 * 8 + 6 * 16)
    assert found["logits and gradient of the head"] == 4 * 3 * 10 + 4 * 3 * 8 + 4 * 80
    assert "gathered layers and their gradients" not in found
