"""What lies in a checkpoint of shards cannot run: torch's own reader runs what is planted, ours refuses it in words."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import checkpoint as dcp

from components.errors import DamagedError
from components.training.saving import shards

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


class Planted:
    """Its pickle makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def in_metadata(folder: Path, mark: Path) -> None:
    dcp.save({"weight": torch.ones(3)}, storage_writer=dcp.FileSystemWriter(str(folder)))
    (folder / ".metadata").write_bytes(pickle.dumps(Planted(mark)))


def in_a_value(folder: Path, mark: Path) -> None:
    dcp.save({"weight": torch.ones(3), "schedule": Planted(mark)}, storage_writer=dcp.FileSystemWriter(str(folder)))


@pytest.mark.parametrize("plant", [in_metadata, in_a_value])
def test_what_is_planted_does_not_run(plant: Any, mark: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    plant(folder, mark)
    tensors = {"weight": torch.zeros(3)}
    with pytest.raises(DamagedError, match=r"shards: \.metadata: a checkpoint's shards are \*\.safetensors files only"):
        shards._fill(folder, tensors)
    assert not mark.exists() and not tensors["weight"].any()
    # That the test bites: the same folder, read by torch.
    with pytest.raises((AttributeError, dcp.api.CheckpointException, AssertionError)):
        dcp.load({**tensors, "schedule": None}, storage_reader=dcp.FileSystemReader(str(folder)))
        raise AssertionError  # a planted value is read without an error
    assert mark.exists()


def test_a_value_that_is_no_tensor_is_not_written_as_a_pickle(tmp_path: Path) -> None:
    """Round trip of one process: all that is written are safetensors and JSON."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    trainer = _Trainer(model, optimizer)
    shards.write_shards(trainer, tmp_path / "c" / shards.SHARDS)
    assert {path.suffix for path in (tmp_path / "c").rglob("*") if path.is_file()} == {".safetensors", ".json"}
    other = torch.nn.Linear(3, 2)
    again = _Trainer(other, torch.optim.AdamW(other.parameters(), lr=0.5))
    shards._fill(tmp_path / "c" / shards.SHARDS, shards._weights(other))
    shards.read_optimizer(again, tmp_path / "c" / shards.SHARDS)
    assert torch.equal(model.weight, other.weight)
    first, second = optimizer.state_dict(), again.optimizer.state_dict()
    assert first["param_groups"] == second["param_groups"]
    for number, state in first["state"].items():
        assert all(torch.equal(value, second["state"][number][name]) for name, value in state.items())
    assert again.lr_scheduler.state_dict() == trainer.lr_scheduler.state_dict()


class _Trainer:
    """As much of a trainer as is written."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)

    def is_world_process_zero(self) -> bool:
        return True
