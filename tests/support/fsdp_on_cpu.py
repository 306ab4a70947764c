"""FSDP2 on a CPU: accelerate takes a plugin for it only where its processes have GPUs."""

from __future__ import annotations

from typing import Any


def patch() -> None:
    """For this process, before it trains; everything after that question is the same on a CPU."""
    from accelerate import state

    before = state.AcceleratorState.__init__

    def as_on_gpus(self: Any, mixed_precision: Any = None, cpu: bool = False, **given: Any) -> None:
        if given.get("fsdp_plugin") is not None:
            state.PartialState(cpu)
            state.PartialState._shared_state["distributed_type"] = state.DistributedType.MULTI_GPU
        before(self, mixed_precision, cpu, **given)

    state.AcceleratorState.__init__ = as_on_gpus
