"""A training as a TrainJob: the stub API starts its nodes as processes, each with a disk of its own."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
import ranks
from safetensors.torch import load_file
from several_processes import GRPO, write_mix, write_questions
from train_jobs import JOBS, TrainJobs, kubeconfig, train_jobs, until

from components.errors import StoppedError
from components.platform.execution import STORED
from components.platform.storage import objects, store
from components.stages.grpo import grpo
from components.stages.sft import SftConfig, sft
from components.training.place import TrainerPlace

CONFIG = SftConfig(epochs=4, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adamw_torch", device="cpu")
TWO_NODES = TrainerPlace(nodes=2, gpus=1, launch="trainjob")
SPLIT = TWO_NODES.model_copy(update={"sharding": "full"})
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("mix") / "mix.parquet", 5)


@pytest.fixture(autouse=True)
def _patched_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers split weights on a CPU, and GRPO's rewards are planted: the tiny model's answers are all wrong."""
    paths = [str(SUPPORT / "at_start"), str(SUPPORT), str(SUPPORT.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("BIOMED_R1_TEST_REWARDS", "planted")


def largest_difference(first: Path, second: Path) -> float:
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def _stop_second(jobs: TrainJobs, root: Path) -> None:
    """SIGTERM to the first process of the second node, once a checkpoint counts."""

    def published() -> bool:
        return any(json.loads(path.read_text())["published"] for path in root.rglob("lease.json"))

    until(published, 300)
    next(iter(jobs.running.values()))[1].terminate()


@pytest.mark.slow
def test_two_nodes_with_disks_of_their_own_learn_what_one_process_does(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node is told to stop on the way: both save the same step, and a new job goes on from there.

    The weights are whole until the stop, and split after it.
    """
    alone = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "c-alone"), tmp_path / "alone")
    checkpoints = str(tmp_path / "store/checkpoints/sft/key")
    with train_jobs(tmp_path / "nodes") as jobs:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(jobs.api, tmp_path))
        stopped = threading.Thread(target=_stop_second, args=(jobs, tmp_path / "store"), daemon=True)
        stopped.start()
        with pytest.raises(StoppedError, match="its checkpoint is stored"):
            sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert jobs.codes.pop() == [75, 75], jobs.logs()
        together = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=SPLIT)
        assert jobs.codes == [[0, 0]], jobs.logs()
        assert not [path for path in jobs.api.objects if path.startswith(JOBS)]
        again = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=SPLIT)
        assert len(jobs.made) == 2 and again == together
    assert together["resumed_from_step"] > 0
    made = Path(together[STORED])
    assert store.exists(str(made)) and not (tmp_path / "out").exists()
    assert largest_difference(tmp_path / "alone", made) < 1e-6
    assert together["steps"] == alone["steps"] and together["epochs"] == alone["epochs"]
    (newest,) = (tmp_path / "store").rglob("checkpoint-8-*/shards")
    assert len(list(newest.iterdir())) == 2


@pytest.mark.slow
def test_grpo_in_two_pods_learns_what_one_process_does(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With questions held out, whose best weights are handed on, and rollouts in the store."""
    monkeypatch.setattr("components.stages.grpo.rewards", ranks.planted_rewards)
    mix = write_questions(tmp_path / "mix.parquet", 6)
    held_out = {"evaluation_rows": 2, "evaluation_steps": 1, "rollout_steps": 1, "hand_on": "best"}
    config = GRPO.model_copy(update={"save_steps": 1, **held_out})
    alone = grpo(mix, str(tiny_model), config, str(tmp_path / "c-alone"), tmp_path / "alone")
    checkpoints = str(tmp_path / "store/checkpoints/grpo/key")
    with train_jobs(tmp_path / "nodes") as jobs:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(jobs.api, tmp_path))
        together = grpo(mix, str(tiny_model), config, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert jobs.codes == [[0, 0]], jobs.logs()
    assert together["rewards"] == pytest.approx(alone["rewards"]) and any(together["rewards"])
    assert together["metrics"]["handed_on_step"] == alone["metrics"]["handed_on_step"]
    assert largest_difference(tmp_path / "alone", Path(together[STORED])) < 1e-6
    rollouts = [objects.get_json(f"{uri}/step-000003.json") for uri in (together["rollouts"], alone["rollouts"])]
    assert [len(one["rows"]) for one in rollouts] == [4, 4]
