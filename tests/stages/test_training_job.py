"""A training as a TrainJob: the stub API starts its nodes as processes, each with a disk of its own."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file
from several_processes import write_mix
from train_jobs import JOBS, TrainJobs, kubeconfig, train_jobs, until

from components.errors import StoppedError
from components.platform.execution import STORED
from components.platform.storage import store
from components.stages.sft import SftConfig, sft
from components.training.place import TrainerPlace

CONFIG = SftConfig(epochs=4, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adamw_torch", device="cpu")
TWO_NODES = TrainerPlace(nodes=2, gpus=1, launch="trainjob")


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("mix") / "mix.parquet", 5)


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
    """One node is told to stop on the way: both save the same step, and a new job goes on from there."""
    alone = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "c-alone"), tmp_path / "alone")
    checkpoints = str(tmp_path / "store/checkpoints/sft/key")
    with train_jobs(tmp_path / "nodes") as jobs:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(jobs.api, tmp_path))
        stopped = threading.Thread(target=_stop_second, args=(jobs, tmp_path / "store"), daemon=True)
        stopped.start()
        with pytest.raises(StoppedError, match="its checkpoint is stored"):
            sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert jobs.codes.pop() == [75, 75], jobs.logs()
        together = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert jobs.codes == [[0, 0]], jobs.logs()
        assert not [path for path in jobs.api.objects if path.startswith(JOBS)]
        again = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert len(jobs.made) == 2 and again == together
    assert together["resumed_from_step"] > 0
    made = Path(together[STORED])
    assert store.exists(str(made)) and not (tmp_path / "out").exists()
    one, other = load_file(tmp_path / "alone/model.safetensors"), load_file(made / "model.safetensors")
    assert one.keys() == other.keys()
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-6
    assert together["steps"] == alone["steps"] and together["epochs"] == alone["epochs"]
