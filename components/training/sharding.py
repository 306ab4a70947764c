"""FSDP2 as both trainers use it: every block split over all processes, computed in bf16, reduced in fp32."""

from __future__ import annotations

import os
from typing import Any

from components.errors import InputError, StageError
from components.training.place import TrainerPlace


def check_world(place: TrainerPlace) -> None:
    """Raise StageError unless this process is one of as many as the profile says.

    One process that sees eight GPUs would train on one of them; eight where one was meant would see eight times the
    rows in a step.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != place.processes:
        raise StageError(
            f"trainer: {started} processes were started, and the profile's trainer section says {place.nodes} x "
            f"{max(1, place.gpus)}; start it by `launch: {place.launch}`, or correct the profile"
        )


def sharding_fields(place: TrainerPlace, optim: str) -> dict[str, Any]:
    """The keyword arguments of transformers' TrainingArguments that shard a model as the profile says.

    Raises InputError for an optimizer that cannot be sharded.
    """
    if place.sharding != "full" or place.processes == 1:
        return {}
    if optim == "adafactor":  # transformers' own mixes whole and split tensors
        raise InputError("optim: adafactor does not work with trainer.sharding: full; take adamw_torch_fused")
    # SHARDED_STATE_DICT: whole weights are not gathered for each checkpoint (saving/shards.py writes them)
    config = {"version": 2, "cpu_offload": place.offload == "cpu", "state_dict_type": "SHARDED_STATE_DICT"}
    return {"fsdp": True, "fsdp_config": config}


def keep_outputs(arguments: Any, bf16: bool) -> None:
    """Give a TrainingArguments that shards the policy of `precision`; does nothing to one that does not."""
    if plugin := getattr(arguments, "fsdp_plugin_args", None):
        plugin["mixed_precision_policy"] = precision(bf16)


def precision(bf16: bool) -> Any:
    """The policy of FSDP2. That of accelerate also casts what a model returns to bf16: log-probabilities then have
    8 bits, 13 different values in 384 tokens, and GRPO's ratios are noise."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    computed = torch.bfloat16 if bf16 else None
    return MixedPrecisionPolicy(param_dtype=computed, reduce_dtype=torch.float32, output_dtype=None)
