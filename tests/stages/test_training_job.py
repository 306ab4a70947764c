"""A training as a TrainJob: the stub API starts its nodes as processes, each with a disk of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from train_jobs import JOBS, kubeconfig, train_jobs

from components.platform.execution import STORED
from components.platform.storage import store
from components.platform.tables import write_rows
from components.stages.sft import SftConfig, sft
from components.training.place import TrainerPlace

CONFIG = SftConfig(epochs=2, save_steps=2, global_batch=2, learning_rate=1e-3, optim="adamw_torch", device="cpu")
TWO_NODES = TrainerPlace(nodes=2, gpus=1, launch="trainjob")


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mix") / "mix.parquet"
    message = [{"role": "user", "content": "Which metal?\nA. Zinc\nB. Iron"}]
    asked = {"prompt": json.dumps(message), "opening": ""}
    write_rows([{**asked, "completion": f"{'Reason. ' * (k + 1)}The answer is B."} for k in range(5)], path)
    return path


@pytest.mark.slow
def test_two_nodes_with_disks_of_their_own_learn_what_one_process_does(
    mix: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = sft(mix, str(tiny_model), CONFIG, str(tmp_path / "c-alone"), tmp_path / "alone")
    checkpoints = str(tmp_path / "store/checkpoints/sft/key")
    with train_jobs(tmp_path / "nodes") as jobs:
        monkeypatch.setenv("KUBECONFIG", kubeconfig(jobs.api, tmp_path))
        together = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert jobs.codes == [[0, 0]], jobs.logs()
        assert not [path for path in jobs.api.objects if path.startswith(JOBS)]
        again = sft(mix, str(tiny_model), CONFIG, checkpoints, tmp_path / "out", place=TWO_NODES)
        assert len(jobs.made) == 1 and again == together
    made = Path(together[STORED])
    assert store.exists(str(made)) and not (tmp_path / "out").exists()
    one, other = load_file(tmp_path / "alone/model.safetensors"), load_file(made / "model.safetensors")
    assert one.keys() == other.keys()
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-6
    assert together["steps"] == alone["steps"] and together["epochs"] == alone["epochs"]
