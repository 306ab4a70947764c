"""The sft stage on a tiny model: what is learned, and that a stopped training ends where an unbroken one does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.errors import InputError, StageError
from components.platform.models import weights_digest
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, build_trainer, sft
from components.training.trainer import data_order
from pipelines.cli.training import sft_command

OPENING = "Off the top of my head, I believe it should be A, Zinc, although I hesitate."
CONFIG = SftConfig(max_steps=6, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adafactor", device="cpu")


def trace(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron"}]
    return {
        "id": f"t{number}",
        "prompt": json.dumps(messages),
        "opening": OPENING if number % 2 else "",
        "completion": f"Reason number {number}.\nThe answer is B.",
    }


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    path = tmp_path / "sft.parquet"
    write_rows([trace(number) for number in range(5)], path)
    return path


def test_the_trainers_own_batches_learn_the_reply_only(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Decoded from the very batches that the trainer is fed: no question, no planted opening, nothing cut."""
    from components.training.pretrained import load_pretrained
    from components.training.rows import encode_traces, read_traces

    opened = load_pretrained(tiny_model, seed=0)
    encoded = encode_traces(read_traces(mix), opened.tokenizer, 500, "fail", mix)
    trainer = build_trainer(opened, encoded, CONFIG.model_copy(update={"max_steps": None, "epochs": 2.0}), tmp_path)
    replies = []
    for batch in trainer.get_train_dataloader():
        assert batch["input_ids"].shape == batch["labels"].shape
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            kept = labels != -100
            assert (ids[kept] == labels[kept]).all()
            replies.append(opened.tokenizer.decode(labels[kept]))
    wanted = [f"{' ' if n % 2 else ''}Reason number {n}.\nThe answer is B.<|im_end|>" for n in range(5)]
    assert sorted(replies) == sorted(wanted * 2)
    assert sorted(replies[:5]) == sorted(wanted)  # an epoch is a permutation


def test_a_resumed_training_ends_with_the_same_weights(
    mix: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    checkpoints = tmp_path / "checkpoints"
    whole = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "whole", "code-1")
    assert (whole["steps"], whole["resumed_from_step"], whole["epochs"]) == (6, 0, 12 / 5)
    assert [record["step"] for record in whole["history"]] == [1, 2, 3, 4, 5, 6]
    assert whole["metrics"]["loss_last"] < whole["metrics"]["loss_first"]
    assert whole["weights_sha256"] != whole["weights_sha256_start"] == weights_digest(tiny_model)
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-4"]
    kinds = {path.suffix for path in (tmp_path / "whole").iterdir()}
    assert kinds == {".safetensors", ".json", ".jinja"}  # no optimizer state, no pickles
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "whole").dtype == torch.float32

    loaded = []
    load = torch.load

    def spy(file: Any, *args: Any, **kwargs: Any) -> Any:
        loaded.append((Path(str(file)).name, kwargs.get("weights_only")))
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, "load", spy)
    again = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "again", "code-2")
    assert again["resumed_from_step"] == 4
    assert again["weights_sha256"] == whole["weights_sha256"]
    assert again["history"] == whole["history"]
    assert {name for name, _ in loaded} == {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    assert all(safe is True for _, safe in loaded)
    assert "other code" in capsys.readouterr().err  # said, and no reason to start over

    weights = checkpoints / "checkpoint-4" / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    fresh = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "fresh")
    assert fresh["resumed_from_step"] == 0
    assert fresh["weights_sha256"] == whole["weights_sha256"]
    assert "differs from its manifest" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["config", "mix", "weights"])
def test_another_training_starts_over(mix: Path, tiny_model: Path, tmp_path: Path, change: str) -> None:
    short = CONFIG.model_copy(update={"max_steps": 2, "save_steps": 1})
    checkpoints, model = str(tmp_path / "checkpoints"), tiny_model
    first = sft(mix, str(model), short, checkpoints, tmp_path / "out")
    if change == "config":
        short = short.model_copy(update={"learning_rate": 2e-3})
    elif change == "mix":
        write_rows([trace(number) for number in range(6)], mix)
    else:
        model = tmp_path / "out"
    second = sft(mix, str(model), short, checkpoints, tmp_path / "out2")
    assert second["resumed_from_step"] == 0
    assert second["weights_sha256"] != first["weights_sha256"]


def test_a_planted_fault_comes_before_training(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOMED_R1_FAULT", "sft:raise")
    with pytest.raises(RuntimeError, match="fault planted at sft"):
        sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft.parquet"]


def test_a_failed_training_leaves_no_half_model(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOMED_R1_FAULT", "manifest:raise")
    with pytest.raises(RuntimeError, match="fault planted at manifest"):
        sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "sft.parquet"]
    monkeypatch.delenv("BIOMED_R1_FAULT")
    assert sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")["steps"] == 6


def test_a_loss_that_is_no_number_ends_the_training(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    wild = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(StageError, match=r"step \d: the loss is (nan|inf); lower learning_rate"):
        sft(mix, str(tiny_model), wild, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_plainly(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        with pytest.raises(InputError, match="no space left on this disk"):
            sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), small / "out")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_command_line(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = tmp_path / "sft.yaml"
    config.write_text("max_steps: 5\nglobal_batch: 1\ndevice: cpu\n")
    arguments = ["--mix", mix, "--model", tiny_model, "--checkpoints", tmp_path / "c", "--out", tmp_path / "out"]
    arguments += ["--config", config, "--set", "max_steps=1", "--set", "bf16=true", "--json", tmp_path / "e.json"]
    result = CliRunner().invoke(sft_command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0 and "sft: 1 steps (from 0)" in result.output
    evidence = json.loads((tmp_path / "e.json").read_text())
    assert (evidence["steps"], evidence["rows_in"], evidence["pad_rule"].split()[0]) == (1, 5, "took")


@pytest.mark.parametrize("values", [{"max_lenght": 5}, {"packing": True}, {"too_long": "truncate"}, {"bf16": "maybe"}])
def test_config_refuses_what_it_does_not_know(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SftConfig.model_validate(values)


@given(st.integers(1, 30), st.integers(0, 100), st.integers(0, 3))
def test_data_order_is_permutations_end_to_end(rows: int, wanted: int, seed: int) -> None:
    order = data_order(rows, wanted, seed)
    assert len(order) == wanted and order == data_order(rows, wanted + 7, seed)[:wanted]
    for start in range(0, wanted - rows + 1, rows):
        assert sorted(order[start : start + rows]) == list(range(rows))


@pytest.mark.slow
def test_sft_of_the_packaged_model(smollm: Path, tmp_path: Path) -> None:
    """The real weights learn twelve steps: the loss falls, and they speak through the vanilla loader."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_rows([trace(number) for number in range(24)], tmp_path / "sft.parquet")
    config = CONFIG.model_copy(update={"max_steps": 12, "save_steps": 6, "global_batch": 4, "learning_rate": 5e-5})
    evidence = sft(tmp_path / "sft.parquet", str(smollm), config, str(tmp_path / "c"), tmp_path / "out")
    shutil.rmtree(tmp_path / "c")
    assert evidence["metrics"]["loss_last"] < 0.6 * evidence["metrics"]["loss_first"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    asked = tokenizer.apply_chat_template(
        json.loads(trace(2)["prompt"]), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reply = tokenizer.decode(model.generate(**asked, max_new_tokens=30, do_sample=False)[0], skip_special_tokens=True)
    assert "answer is" in reply
