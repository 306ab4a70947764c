"""Packs: the same sequences in each step, no pad token, and the losses and gradients of separate rows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError, StageError
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, build_trainer, sft
from components.training.attention import NAME, attend_within_sequences
from components.training.packing import pack_rows, pack_steps
from components.training.place import TrainerPlace
from components.training.trainer import data_order

CONFIG = SftConfig(max_steps=3, global_batch=4, learning_rate=1e-3, max_length=256, optim="adafactor", device="cpu")


@given(
    st.lists(st.integers(1, 50), min_size=16, max_size=60),
    st.integers(1, 4),
    st.sampled_from([1, 2, 4]),
    st.integers(50, 200),
)
def test_a_step_keeps_its_rows_and_no_pack_is_too_full(
    lengths: list[int], steps: int, processes: int, tokens: int
) -> None:
    order = data_order(len(lengths), 16 * steps, seed=0)
    try:
        packed = pack_steps(lengths, order, 16, tokens, processes)
    except InputError:
        assert sum(lengths[row] for row in order) > tokens * 8, "refused only where packs hold hardly anything"
        return
    assert packed.per_step % processes == 0 and len(packed.packs) == steps * packed.per_step
    assert all(pack and sum(lengths[row] for row in pack) <= tokens for pack in packed.packs)
    for step in range(steps):
        laid = packed.packs[step * packed.per_step : (step + 1) * packed.per_step]
        assert sorted(row for pack in laid for row in pack) == sorted(order[16 * step : 16 * step + 16])


def test_too_few_rows_for_the_packs_are_refused() -> None:
    with pytest.raises(InputError, match="raise global_batch or tokens_per_pack"):
        pack_steps([10] * 6, list(range(6)), 6, 10, 4)


def traces(path: Path) -> Path:
    rows = []
    for number in range(12):
        messages = [{"role": "user", "content": f"Question {number}: which {'rare ' * number}metal?\nA. Zinc\nB. Iron"}]
        reason = "Because. " * (1 + 5 * number % 13)
        rows.append({"prompt": json.dumps(messages), "opening": "", "completion": f"{reason}\nThe answer is B."})
    write_rows(rows, path)
    return path


@pytest.mark.parametrize("attention", ["sdpa", "eager", "sequence_edges"])
def test_packed_losses_and_gradients_are_those_of_separate_rows(
    attention: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Through TRL's own trainer, its labels-only head included."""
    import torch

    from components.training.pretrained import load_pretrained
    from components.training.rows import encode_traces, read_traces

    opened = load_pretrained(tiny_model, seed=0)
    if attention == "sequence_edges":
        assert attend_within_sequences(opened.model)
    else:
        opened.model.set_attn_implementation(attention)
    mix = traces(tmp_path / "sft.parquet")
    encoded = encode_traces(read_traces(mix), opened.tokenizer, 256, "fail", mix)
    trainer = build_trainer(opened, encoded, CONFIG, tmp_path)
    model = trainer.model.eval()

    def learn(batches: list[dict[str, Any]]) -> tuple[list[float], list[torch.Tensor]]:
        model.zero_grad()
        count = sum(int((batch["labels"] != -100).sum()) for batch in batches)
        losses = []
        for batch in batches:
            loss = trainer.compute_loss(model, dict(batch), num_items_in_batch=torch.tensor(count))
            loss.backward()
            losses.append(float(loss.detach()))
        return losses, [p.grad.clone() for p in model.parameters()]

    alone = [{**pack_rows([row]), "attention_mask": torch.ones(1, len(row["input_ids"]))} for row in encoded.rows]
    apart, gradients = learn(alone)
    packs = pack_steps([len(row["input_ids"]) for row in encoded.rows], list(range(12)), 12, 400, 1).packs
    assert any(len(pack) > 2 for pack in packs)
    together, packed_gradients = learn([pack_rows([encoded.rows[row] for row in pack]) for pack in packs])
    for pack, loss in zip(packs, together, strict=True):
        assert loss == pytest.approx(sum(apart[row] for row in pack), abs=1e-5)
    assert max(float((a - b).abs().max()) for a, b in zip(gradients, packed_gradients, strict=True)) < 1e-5


def test_a_model_whose_attention_holds_more_keeps_the_mask(tiny_model: Path) -> None:
    """A window, dropout, an architecture that was not looked at: the edges alone would compute something else."""
    from components.training.pretrained import load_pretrained

    for change in ({"attention_dropout": 0.1}, {"layer_types": ["sliding_attention"]}, {"model_type": "gemma2"}):
        model = load_pretrained(tiny_model, seed=0).model
        for name, value in change.items():
            setattr(model.config, name, value)
        before = model.config._attn_implementation
        assert not attend_within_sequences(model)
        assert model.config._attn_implementation == before


def test_a_batch_that_is_no_pack_is_refused(tiny_model: Path) -> None:
    """transformers makes no mask for this attention, so padded rows would read their pad tokens."""
    import torch

    from components.training.pretrained import load_pretrained

    model = load_pretrained(tiny_model, seed=0).model
    assert attend_within_sequences(model)
    with pytest.raises(StageError, match="reads packs only"):
        model(input_ids=torch.ones(2, 5, dtype=torch.long))


def test_a_packed_training_ends_with_the_weights_of_a_padded_one(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    mix = traces(tmp_path / "sft.parquet")
    weights = []
    for name, change in (("padded", {}), ("packed", {"tokens_per_pack": 300}), ("one", {"tokens_per_pack": 4000})):
        config = CONFIG.model_copy(update=change)
        evidence = sft(mix, str(tiny_model), config, str(tmp_path / f"c-{name}"), tmp_path / name)
        assert evidence["epochs"] == 1.0
        assert NAME not in (tmp_path / name / "config.json").read_text(), "others open the model as any"
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    for other in weights[1:]:
        assert max(float((weights[0][k] - other[k]).abs().max()) for k in other) < 1e-5
    assert isinstance(next(iter(weights[0].values())), torch.Tensor)


@pytest.mark.skipif("BIOMED_R1_DATA" not in os.environ, reason="needs BIOMED_R1_DATA")
@pytest.mark.parametrize("processes", [1, 8])
def test_little_is_idle_on_real_traces(processes: int) -> None:
    """Words stand in for tokens (1.4 each, in these texts): what counts is how lengths differ."""
    folder = Path(os.environ["BIOMED_R1_DATA"]) / "train"
    texts: list[str] = []
    for file in ("traces_qwq32b_medexqa", "traces_huatuo_o1_demo", "casimedicos_en", "medmcqa_train_gpt4exp"):
        for line in (folder / f"{file}.jsonl").read_text().splitlines():
            row = json.loads(line)
            texts.append(f"{row['question']} {row.get('reasoning') or ''}")
    lengths = [round(1.4 * len(text.split())) + 40 for text in texts]
    lengths = [length for length in lengths if length <= 8192]
    order = data_order(len(lengths), 128 * (len(lengths) // 128), seed=0)
    packed = pack_steps(lengths, order, 128, 8192, processes)
    assert packed.idle_share <= 0.05
    padded = [max(lengths[row] for row in order[k : k + 4]) * 4 for k in range(0, len(order), 4)]
    assert 1 - sum(lengths[row] for row in order) / sum(padded) > 0.25, "what batches of four would pad"


def test_a_pack_must_hold_the_longest_sequence() -> None:
    with pytest.raises(ValueError, match="tokens_per_pack: 100 is less than max_length 256"):
        SftConfig(max_length=256, tokens_per_pack=100)
    place = TrainerPlace(gpus=2, launch="torchrun")
    assert SftConfig(max_length=256, tokens_per_pack=512).work(place).tokens == 512
