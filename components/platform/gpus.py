"""The first thing a GPU stage does: compare the GPUs it sees with those its profile asked for."""

from __future__ import annotations

import os

from components.errors import StageError

GPUS_VARIABLE = "BIOMED_R1_GPUS"


def asked_gpus() -> int:
    """How many GPUs this task's profile asked the cluster for."""
    return int(os.environ.get(GPUS_VARIABLE, "0"))


def check_gpus() -> None:
    """Raise StageError, within seconds, when fewer GPUs are visible than asked for; free where none was asked for.

    A pod can get a GPU node and see no GPU (driver, device plugin, container runtime); training would then start on
    the CPU and hold the node for days.
    """
    asked = asked_gpus()
    if not asked:
        return
    try:
        import torch
    except ImportError:
        raise StageError(
            f"{GPUS_VARIABLE}={asked}: this image has no torch, so no GPU can be used; {_WHAT_TO_DO}"
        ) from None
    seen = torch.cuda.device_count()
    if seen < asked:
        raise StageError(
            f"{GPUS_VARIABLE}={asked}: torch {torch.__version__} (CUDA {torch.version.cuda}) sees {seen} GPUs; "
            f"{_WHAT_TO_DO}"
        )


_WHAT_TO_DO = "check the GPU image, the node's driver and the NVIDIA device plugin, or lower `gpus` in the profile"
