"""A training in two processes: the rows, steps and weights of one process; killed or stopped, it loses nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from several_processes import meanwhile, published, workers, write_mix

from components.errors import InputError, StageError, StoppedError
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, sft
from components.training.place import TrainerPlace

TWO = TrainerPlace(gpus=2, launch="torchrun")
CONFIG = SftConfig(epochs=4, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adamw_torch", device="cpu")
STEPS = 10  # 4 epochs of 5 rows, 2 a step


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("mix") / "mix.parquet", 5)


@pytest.fixture(scope="module")
def whole(mix: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict]]:
    """The same training, undisturbed, in one and in two processes."""
    folder = tmp_path_factory.mktemp("whole")
    made = {}
    for name, place in (("one", TrainerPlace()), ("two", TWO)):
        out = folder / name
        made[name] = out, sft(mix, str(tiny_model), CONFIG, str(folder / f"c-{name}"), out, place=place)
    return made


def largest_difference(first: Path, second: Path) -> float:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(whole: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    (one, alone), (two, together) = whole["one"], whole["two"]
    assert alone["steps"] == together["steps"] == STEPS and alone["epochs"] == together["epochs"] == 4
    # Equal losses: each step saw the same rows.
    assert [r["loss"] for r in together["history"]] == pytest.approx([r["loss"] for r in alone["history"]], abs=1e-5)
    assert largest_difference(one, two) < 1e-6
    assert together["weights_sha256"] != together["weights_sha256_start"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_is_said_and_nothing_is_lost(
    rank: int, whole: dict[str, tuple[Path, dict[str, Any]]], mix: Path, tiny_model: Path, tmp_path: Path
) -> None:
    checkpoints, out = tmp_path / "c", tmp_path / "out"
    killer = meanwhile(lambda: bool(published(checkpoints)), lambda: workers()[rank].kill())
    with pytest.raises(StageError, match="a process of the training died"):
        sft(mix, str(tiny_model), CONFIG, str(checkpoints), out, place=TWO)
    killer.join()
    assert not out.exists()
    kept = max(published(checkpoints))
    again = sft(mix, str(tiny_model), CONFIG, str(checkpoints), out, place=TWO)
    assert again["resumed_from_step"] >= kept > 0
    assert again["weights_sha256"] == whole["two"][1]["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("told", ["torchrun", "one rank"])
def test_told_to_stop_all_ranks_save_the_same_step(
    told: str, whole: dict[str, tuple[Path, dict[str, Any]]], mix: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """To the task's process, which passes it on, or to the second process alone; resumed by one process."""
    checkpoints, out = tmp_path / "c", tmp_path / "out"

    def tell() -> None:
        if told == "one rank":
            workers()[1].send_signal(signal.SIGTERM)
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    teller = meanwhile(lambda: bool(published(checkpoints)), tell)
    with pytest.raises(StoppedError, match="its checkpoint is stored") as stopped:
        sft(mix, str(tiny_model), CONFIG, str(checkpoints), out, place=TWO)
    teller.join()
    assert stopped.value.exit_code == 75 and not out.exists()
    step = max(published(checkpoints))
    assert f"after step {step} of {STEPS}" in str(stopped.value)
    again = sft(mix, str(tiny_model), CONFIG, str(checkpoints), out)
    assert again["resumed_from_step"] == step
    assert largest_difference(out, whole["one"][0]) < 1e-6


def test_bad_input_of_a_worker_is_the_tasks_own(mix: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Said once, with its exit code, by the process that waits."""
    write_rows([{"prompt": "[]", "opening": "", "completion": ""}], tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="row 1: completion: must be non-empty text"):
        sft(tmp_path / "bad.parquet", str(tiny_model), CONFIG, str(tmp_path / "c"), tmp_path / "out", place=TWO)
