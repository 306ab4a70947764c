"""A training whose weights are split over processes: the result of one process, and resumed on another number."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ranks
from safetensors.torch import load_file
from several_processes import GRPO, meanwhile, published, write_mix, write_questions

from components.errors import StageError, StoppedError
from components.stages.grpo import grpo
from components.stages.sft import SftConfig, sft
from components.training.lora import Lora
from components.training.place import TrainerPlace

ROWS, EPOCHS = 6, 4
CONFIG = SftConfig(epochs=EPOCHS, save_steps=2, global_batch=4, learning_rate=1e-3, optim="adamw_torch", device="cpu")
STEPS = ROWS * EPOCHS // 4
Made = tuple[Path, str, dict[str, Any]]  # the model's folder, the checkpoints' and the evidence


def place(processes: int, sharding: Any = "full") -> TrainerPlace:
    return TrainerPlace(gpus=processes, launch="torchrun", sharding=sharding) if processes > 1 else TrainerPlace()


@pytest.fixture(autouse=True, scope="module")
def _forked() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.training.workers.launch._torchrun", ranks.run)
        yield


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("mix") / "mix.parquet", ROWS)


@pytest.fixture(scope="module")
def train(mix: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """One training: `at` processes, checkpoints of its own unless it is to go on from others (a copy of them)."""

    def made(at: TrainerPlace, going_on: str = "", config: SftConfig = CONFIG) -> Made:
        folder = tmp_path_factory.mktemp("made")
        if going_on:
            shutil.copytree(going_on, folder / "c")
        evidence = sft(mix, str(tiny_model), config, str(folder / "c"), folder / "out", place=at)
        return folder / "out", str(folder / "c"), evidence

    return made


@pytest.fixture(scope="module")
def alone(train: Callable[..., Made]) -> Made:
    return train(place(1))


@pytest.fixture(scope="module")
def sharded(train: Callable[..., Made], tmp_path_factory: pytest.TempPathFactory) -> Made:
    rows = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ranks.ROWS, str(rows))
        made = train(place(2))
    return *made[:2], {**made[2], "rows": rows}


def largest_difference(first: Path, second: Path) -> float:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def read(rows: Path, until: int = STEPS) -> Counter[int]:
    """How often each length of a row was computed by any process, in the steps before `until`."""
    lines = [json.loads(line) for path in rows.glob("*.jsonl") for line in path.read_text().splitlines()]
    return Counter(length for step, lengths in lines if step < until for length in lengths)


@pytest.mark.slow
def test_two_sharded_processes_learn_what_one_does(alone: Made, sharded: Made) -> None:
    from transformers import AutoModelForCausalLM

    assert [r["loss"] for r in sharded[2]["history"]] == pytest.approx(
        [r["loss"] for r in alone[2]["history"]], abs=1e-5
    )
    assert [r["grad_norm"] for r in sharded[2]["history"]] == pytest.approx(
        [r["grad_norm"] for r in alone[2]["history"]], rel=1e-4
    )
    assert largest_difference(alone[0], sharded[0]) < 1e-6
    assert sorted(path.name for path in alone[0].iterdir()) == sorted(path.name for path in sharded[0].iterdir())
    assert AutoModelForCausalLM.from_pretrained(sharded[0]).num_parameters() > 0
    assert sorted(read(sharded[2]["rows"]).values()) == [EPOCHS] * ROWS
    # Each process wrote its own part, and nothing in a checkpoint is a pickle but what torch reads as data only.
    newest = next(Path(sharded[1]).glob("*/checkpoint-4-1"))
    assert len(list((newest / "shards").iterdir())) == 2
    assert {path.suffix for path in newest.rglob("*") if path.is_file()} == {".safetensors", ".json", ".pth"}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 4])
def test_sharded_on_two_resumed_on(
    processes: int, alone: Made, sharded: Made, train: Callable[..., Made], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv(ranks.ROWS, str(tmp_path))
    out, _, evidence = train(place(processes), going_on=sharded[1])
    assert evidence["resumed_from_step"] == 4
    assert largest_difference(out, alone[0]) < 1e-6
    if processes > 1:
        assert sorted((read(sharded[2]["rows"], until=4) + read(tmp_path)).values()) == [EPOCHS] * ROWS


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=8)])
def test_whole_weights_of_one_process_are_split(lora: Lora | None, alone: Made, train: Callable[..., Made]) -> None:
    """A checkpoint of a training that was not sharded, with adapters too; these are merged in the end."""
    config = CONFIG.model_copy(update={"lora": lora})
    one = train(place(1), config=config) if lora else alone
    out, _, evidence = train(place(2), going_on=one[1], config=config)
    assert evidence["resumed_from_step"] == 4
    assert largest_difference(out, one[0]) < 1e-6
    assert (out / "adapter").is_dir() == bool(lora)


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["full", "none"])
def test_two_nodes_with_a_disk_each(
    sharding: str, alone: Made, train: Callable[..., Made], mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stores what its processes wrote, in one checkpoint; both fetch all of it."""
    monkeypatch.setattr("components.training.workers.launch._torchrun", partial(ranks.run, nodes=2))
    out, checkpoints, evidence = train(place(2, sharding))
    assert evidence["steps"] == STEPS and largest_difference(out, alone[0]) < 1e-6
    manifests = [json.loads(path.read_text()) for path in Path(checkpoints).glob("*/checkpoint-4-1/manifest.json")]
    stored = {entry["path"] for entry in manifests[0]["files"]}
    assert {"rng_state_0.pth", "rng_state_1.pth", "trainer_state.json"} < stored
    assert len([name for name in stored if name.startswith("shards/")]) == (2 if sharding == "full" else 0)
    _, _, resumed = train(place(2, sharding), going_on=checkpoints)
    assert resumed["resumed_from_step"] == 4 and resumed["weights_sha256"] == evidence["weights_sha256"]


@pytest.mark.slow
def test_told_to_stop_all_ranks_save_the_same_step(
    alone: Made, mix: Path, tiny_model: Path, tmp_path: Path, train: Callable[..., Made]
) -> None:
    """SIGTERM to one rank only; then on one process."""
    checkpoints, out = tmp_path / "c", tmp_path / "out"
    meanwhile(lambda: bool(published(checkpoints)), lambda: os.kill(ranks.alive[1].pid or 0, signal.SIGTERM))
    with pytest.raises(StoppedError, match=f"of {STEPS}; its checkpoint is stored") as stopped:
        sft(mix, str(tiny_model), CONFIG, str(checkpoints), out, place=place(2))
    assert stopped.value.exit_code == 75 and not out.exists()
    step = max(published(checkpoints))
    assert f"after step {step} of" in str(stopped.value)
    done, _, evidence = train(place(1), going_on=str(checkpoints))
    assert evidence["resumed_from_step"] == step and largest_difference(done, alone[0]) < 1e-6


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_stored(
    sharded: Made, mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random worker; tests/bench/worker_kills.py does it twenty times."""
    checkpoints, drawn = tmp_path / "c", random.Random(18)
    # The first checkpoint is stored at once, the next one never.
    monkeypatch.setenv("BIOMED_R1_FAULT", "manifest#2:sleep=300")

    def begun() -> bool:
        found = [path for path in checkpoints.glob("*/checkpoint-*") if not (path / "manifest.json").exists()]
        return bool(published(checkpoints)) and bool(found)

    killer = meanwhile(begun, lambda: drawn.choice(ranks.alive).kill())
    with pytest.raises(StageError, match="a process of the training died"):
        sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out", place=place(2))
    killer.join()
    kept = max(published(checkpoints))
    monkeypatch.delenv("BIOMED_R1_FAULT")
    last = sft(mix, str(tiny_model), CONFIG, str(checkpoints), tmp_path / "out", place=place(2))
    assert last["resumed_from_step"] == kept and last["weights_sha256"] == sharded[2]["weights_sha256"]


@pytest.mark.slow
def test_grpo_in_two_processes_learns_what_one_does(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole and split weights: each completion has a seed of its own, and the rewards differ within a group."""
    monkeypatch.setattr("components.stages.grpo.rewards", ranks.planted_rewards)
    mix = write_questions(tmp_path / "mix.parquet", 5)
    found = {}
    for name, at in (("one", place(1)), ("whole", place(2, "none")), ("split", place(2))):
        out = tmp_path / name
        found[name] = grpo(mix, str(tiny_model), GRPO, str(out) + "-c", out, place=at)
        assert found[name]["rewards"] == pytest.approx(found["one"]["rewards"]) and any(found[name]["rewards"])
        assert found[name]["weights_sha256"] != found[name]["weights_sha256_start"]
        assert largest_difference(out, tmp_path / "one") < 1e-6
