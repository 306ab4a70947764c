"""The state of a training whose weights are split over processes, on disk: each process writes what it holds.

Weights and optimizer states are safetensors, everything else is JSON. torch's own format of such checkpoints is a
pickle (`.metadata`), and so is each value in it that is no tensor: reading one runs what somebody put into it.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import MethodType
from typing import Any

from components.errors import DamagedError

SHARDS = "shards"  # the folder in a checkpoint
_SETTINGS = "settings.json"  # of optimizer and schedule, beside the shards


def keep_shards(trainer: Any) -> Any:
    """The trainer, which reads checkpoints of sharded and of whole weights, and writes shards if its own are sharded.

    So a training may be resumed on another number of processes, and with `sharding` set otherwise.
    """
    sharded = bool(trainer.is_fsdp_enabled)
    load_weights, load_optimizer = trainer._load_from_checkpoint, trainer._load_optimizer_and_scheduler

    def save(_: Any, folder: str) -> None:
        write_shards(trainer, Path(folder) / SHARDS)

    def weights(_: Any, folder: str, model: Any = None) -> None:
        if (shards := Path(folder) / SHARDS).is_dir():
            _fill(shards, _weights(trainer.model))
        elif sharded:
            _whole_weights(trainer.model, Path(folder))
        else:
            load_weights(folder, model)

    def optimizer(_: Any, folder: str | None) -> None:
        if folder and (shards := Path(folder) / SHARDS).is_dir():
            read_optimizer(trainer, shards)
        elif folder and sharded:
            _whole_optimizer(trainer, Path(folder))
        else:
            load_optimizer(folder)

    if sharded:
        trainer._save_optimizer_and_scheduler = MethodType(save, trainer)
    trainer._load_from_checkpoint = MethodType(weights, trainer)
    trainer._load_optimizer_and_scheduler = MethodType(optimizer, trainer)
    return trainer


def write_shards(trainer: Any, folder: Path) -> None:
    """Write weights that are trained, optimizer and schedule; to be called by all processes."""
    from torch.distributed import checkpoint as dcp

    states, settings = _optimizer(trainer)
    folder.mkdir(parents=True, exist_ok=True)
    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    dcp.save({**_weights(trainer.model), **states}, storage_writer=writer)
    if trainer.is_world_process_zero():
        settings["schedule"] = trainer.lr_scheduler.state_dict()
        (folder.parent / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


def read_optimizer(trainer: Any, folder: Path) -> None:
    """Put what `write_shards` left into the trainer's optimizer and schedule; to be called by all processes."""
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    settings = json.loads((folder.parent / _SETTINGS).read_text(encoding="utf-8"))
    states, _ = _optimizer(trainer)
    _fill(folder, states)
    state: dict[str, dict[str, Any]] = {name: dict(values) for name, values in settings["states"].items()}
    for key, tensor in states.items():
        _, value, name = key.split(":", 2)
        state.setdefault(name, {})[value] = tensor
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in settings["groups"]]
    states_and_groups: Any = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(trainer.model, trainer.optimizer, states_and_groups)
    trainer.lr_scheduler.load_state_dict(settings["schedule"])


def full_weights(trainer: Any) -> dict[str, Any]:
    """All trained weights by name, whole, on the CPU of the first process; {} in the others, which must call too."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    lora = any(not parameter.requires_grad for parameter in trainer.model.parameters())
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=lora)
    return dict(get_model_state_dict(trainer.model, options=options))


def _weights(model: Any) -> dict[str, Any]:
    """The tensors that are trained; one that has two names (a tied head) once."""
    return {f"weight:{name}": value.detach() for name, value in model.named_parameters() if value.requires_grad}


def _optimizer(trainer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The optimizer's tensors, and what JSON holds of it."""
    import torch
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    found: dict[str, Any] = dict(get_optimizer_state_dict(trainer.model, trainer.optimizer))
    tensors: dict[str, Any] = {}
    others: dict[str, dict[str, Any]] = {}
    for name, values in found["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer:{key}:{name}"] = value
            else:
                others.setdefault(name, {})[key] = value
    return tensors, {"states": others, "groups": found["param_groups"]}


def _fill(folder: Path, tensors: dict[str, Any]) -> None:
    """Read the tensors' values in place, each process its own part. Raises DamagedError for what is no safetensors."""
    from torch.distributed import checkpoint as dcp

    if strange := sorted(path.name for path in folder.iterdir() if path.suffix != ".safetensors"):
        raise DamagedError(
            f"{folder}: {strange[0]}: a checkpoint's shards are *.safetensors files only; others can run a program "
            "when they are read, so nothing of this checkpoint is; find out who stored it, and delete it"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process reads all of it
        dcp.load(tensors, storage_reader=dcp.HuggingFaceStorageReader(str(folder)))


def _whole_weights(model: Any, folder: Path) -> None:
    """Split the weights of a training that was not sharded over the processes of this one."""
    from safetensors.torch import load_file
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    files = [*folder.glob("model*.safetensors"), *folder.glob("adapter_model.safetensors")]
    found = {name: value for file in files for name, value in load_file(file).items()}
    # The only adapter has a name in the model, and none in its file.
    names = {name.replace(".default.", "."): name for name, _ in model.named_parameters()}
    whole: dict[str, Any] = {names.get(name, name): value for name, value in found.items()}
    set_model_state_dict(model, whole, options=StateDictOptions(full_state_dict=True, strict=False))


def _whole_optimizer(trainer: Any, folder: Path) -> None:
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    def read(name: str) -> Any:
        return torch.load(folder / name, map_location="cpu", weights_only=True)

    found = read("optimizer.pt")
    known = {id(value): name for name, value in trainer.model.named_parameters()}
    names = [known[id(value)] for group in trainer.optimizer.param_groups for value in group["params"]]
    groups = [{**group, "params": [names[number] for number in group["params"]]} for group in found["param_groups"]]
    state = {names[number]: values for number, values in found["state"].items()}
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(
        trainer.model, trainer.optimizer, {"state": state, "param_groups": groups}, options=options
    )
    trainer.lr_scheduler.load_state_dict(read("scheduler.pt"))
