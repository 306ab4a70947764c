"""What all processes of a training agree on. One process agrees with itself, and pays nothing for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def gathered(trainer: Any, values: Sequence[float]) -> list[list[float]]:
    """The `values` of every rank, in their order; to be called by all of them, with equally many numbers."""
    if trainer.args.world_size == 1:
        return [list(values)]
    import torch
    from accelerate.utils import gather

    mine = torch.tensor([list(values)], dtype=torch.float64, device=trainer.args.device)
    return [[float(value) for value in row] for row in gather(mine).tolist()]


def anywhere(trainer: Any, *flags: bool) -> list[bool]:
    """Each flag: whether it is set on any rank. All ranks get the same answer, so all of them do the same next."""
    rows = gathered(trainer, [float(flag) for flag in flags])
    return [any(column) for column in zip(*rows, strict=True)]


def brought(trainer: Any, folder: Path, pattern: str) -> None:
    """Put the files that nodes with disks of their own wrote to `folder` into that of the first process.

    To be called by all, when every process of a node has written; they are small: what is large, each node stores.
    """
    together(trainer)
    if trainer.args.world_size == 1:
        return
    from accelerate.utils import gather_object

    elsewhere = trainer.args.local_process_index == 0 and not trainer.is_world_process_zero()
    mine = [(path.name, path.read_bytes()) for path in sorted(folder.glob(pattern))] if elsewhere else []
    for name, content in gather_object(mine):
        if trainer.is_world_process_zero():
            (folder / name).write_bytes(content)


def told(trainer: Any, value: str) -> str:
    """The first process's `value`, in all of them."""
    if trainer.args.world_size == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return str(broadcast_object_list([value])[0])


def together(trainer: Any) -> None:
    """Wait until all ranks are here."""
    gathered(trainer, [0.0])
