"""This machine: where its own files go, a disk that is full, the GPUs that a task asked for and sees."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import InputError, ReadableError, StageError

NEARLY_NOTHING = 32 << 20  # bytes; torch's own error does not say why a write failed
GPUS_VARIABLE = "BIOMED_R1_GPUS"


def home() -> Path:
    """`BIOMED_R1_HOME`, else (an empty or blank one is unset) `.biomed-r1` in the working directory.

    A `~` at its beginning is the user's folder: what reads a `.env` file does not replace it, as a shell does.
    """
    given = os.environ.get("BIOMED_R1_HOME", "")
    return Path(os.path.expanduser(given) if given.strip() else ".biomed-r1").absolute()


def use_nearest_home() -> None:
    """Unless BIOMED_R1_HOME is set, take the `.biomed-r1` of the working directory or the nearest one above it.

    For commands that look at what a run made: they find it from any folder of a project.
    """
    if os.environ.get("BIOMED_R1_HOME", "").strip():
        return
    here = home()
    folders = (here.parent, *here.parent.parents)
    os.environ["BIOMED_R1_HOME"] = str(next((p for f in folders if (p := f / here.name).is_dir()), here))


@contextmanager
def needs_space(folder: Path) -> Iterator[None]:
    """Turn what OSError, safetensors and torch raise when the disk of `folder` is full into an InputError."""
    try:
        yield
    except ReadableError:
        raise
    except Exception as error:
        told = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        free = shutil.disk_usage(existing(folder)).free
        if told or (isinstance(error, OSError | RuntimeError) and free < NEARLY_NOTHING):
            raise InputError(
                f"{folder}: no space left on this disk ({free / 1e6:.0f} MB free); free some, or point BIOMED_R1_HOME "
                "at a larger one"
            ) from error
        raise


def existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it that is there."""
    return folder if folder.exists() or folder == folder.parent else existing(folder.parent)


def lengths_that_vary() -> None:
    """Keep torch from computing attention by cuDNN on a GPU, from now on in this process.

    cuDNN prepares itself anew for each shape that it has not seen, some 10 ms each time. Lengths of texts hardly ever
    repeat: on an H200 that was nearly all the time of a step of SFT. torch's other kernels take any length at once.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


def asked_gpus() -> int:
    """How many GPUs this task's profile asked the cluster for."""
    return int(os.environ.get(GPUS_VARIABLE) or "0")


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
