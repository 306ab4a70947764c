"""The sft stage on a tiny model: what is learned, and that a stopped training ends where an unbroken one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.errors import InputError, StageError, StoppedError
from components.platform.models import weights_digest
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, build_trainer, sft
from components.training.place import TrainerPlace
from components.training.saving.callback import end_early
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
    assert sorted(path.name for path in checkpoints.glob("*/checkpoint-*")) == ["checkpoint-2-1", "checkpoint-4-1"]
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

    (weights,) = checkpoints.glob("*/checkpoint-4-1/model.safetensors")
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    older = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "older")
    assert older["resumed_from_step"] == 2
    assert older["weights_sha256"] == whole["weights_sha256"]
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
    # With the first update the weights are so large that a gradient is no number any more, and later no loss.
    wrong = r"step \d: the (loss|gradient's norm) is (nan|inf).* lower learning_rate"
    with pytest.raises(StageError, match=wrong):
        sft(mix, str(tiny_model), wild, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_gradient_that_is_no_number_is_neither_learned_nor_stored(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a step that saves, with a finite loss: the command repeated ends where an undisturbed one does."""
    import torch
    from transformers import Trainer

    checkpoints = tmp_path / "checkpoints"
    step = Trainer.training_step

    def spoiled(trainer: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss = step(trainer, model, *args, **kwargs)
        if trainer.state.global_step == 3:
            next(model.parameters()).grad[0, 0] = torch.nan
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", spoiled)
        told = r"step 4: the gradient's norm is nan although the loss is finite; .* \(rank 0, rows \d, \d\); nothing"
        with pytest.raises(StageError, match=told):
            sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in checkpoints.glob("*/checkpoint-*")] == ["checkpoint-2-1"]
    again = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out")
    whole = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "other"), tmp_path / "whole")
    assert again["resumed_from_step"] == 2
    assert again["weights_sha256"] == whole["weights_sha256"]


def test_weights_that_are_no_numbers_are_not_stored(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import Trainer

    step = Trainer.training_step

    def spoiled(trainer: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        loss = step(trainer, model, *args, **kwargs)
        if trainer.state.global_step == 1:
            with torch.no_grad():  # of a token that no row has, so that loss and gradient stay finite
                model.get_input_embeddings().weight[17] = torch.inf
                model.get_input_embeddings().weight.grad[17] = 0
        return loss

    monkeypatch.setattr(Trainer, "training_step", spoiled)
    with pytest.raises(
        StageError, match=r"step 2: weights or optimizer states are no finite numbers \(here: model.emb"
    ):
        sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert not list((tmp_path / "checkpoints").glob("*/checkpoint-*"))


def test_told_to_stop_it_saves_and_goes_on_from_there(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in step 3, at which nothing would be saved: exit code 75, no model, and the same weights in the end."""
    from transformers import Trainer

    checkpoints, step = tmp_path / "checkpoints", Trainer.training_step

    def told(trainer: Any, *args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer, *args, **kwargs)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", told)
        with pytest.raises(StoppedError, match="after step 3 of 6; its checkpoint is stored") as stopped:
            sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out")
    assert stopped.value.exit_code == 75 and signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "out").exists()
    again = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out")
    whole = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "other"), tmp_path / "whole")
    assert again["resumed_from_step"] == 3
    assert again["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.parametrize("change", [{"save_steps": 1}, {"micro_batch": 1}, {"dtype": "bfloat16"}])
def test_what_changes_no_result_is_no_reason_to_start_over(
    mix: Path, tiny_model: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Saved at other steps, another split of the batch, another format of the finished weights."""
    short = CONFIG.model_copy(update={"max_steps": 4, "dtype": "float32"})
    whole = sft(mix, str(tiny_model), short, str(tmp_path / "c"), tmp_path / "whole")
    place = TrainerPlace(micro_batch=change.pop("micro_batch", None))
    other = short.model_copy(update=change)
    again = sft(mix, str(tiny_model), other, str(tmp_path / "c"), tmp_path / "again", place=place)
    assert again["resumed_from_step"] == 2
    assert largest_difference(tmp_path / "whole", tmp_path / "again") < (1e-6 if "dtype" not in change else 1e-2)
    assert whole["history"][2]["loss"] == pytest.approx(again["history"][2]["loss"], abs=1e-5)


def largest_difference(first: Path, second: Path) -> float:
    from safetensors.torch import load_file

    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def ended_at(step: int, reason: str) -> Any:
    """Trainer.__init__ with a callback more, which ends the training at this step."""
    from transformers import Trainer, TrainerCallback

    class Ends(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                end_early(control, reason) if reason else setattr(control, "should_training_stop", True)

    made = Trainer.__init__

    def init(trainer: Any, *args: Any, **kwargs: Any) -> None:
        made(trainer, *args, **kwargs)
        trainer.add_callback(Ends())

    return init


def test_a_training_that_ends_early_is_not_finished(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.Trainer.__init__", ended_at(3, ""))
    with pytest.raises(StageError, match="ended at step 3 of 6 without a reason; its model is not handed on"):
        sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_callback_may_end_a_training_and_says_why(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.Trainer.__init__", ended_at(3, "no better for 2 evaluations"))
    evidence = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "checkpoints"), tmp_path / "out")
    assert (evidence["steps"], evidence["ended_early"]) == (3, "no better for 2 evaluations")


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
