"""What all processes of a training agree on. One process agrees with itself, and pays nothing for it."""

from __future__ import annotations

from collections.abc import Sequence
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


def together(trainer: Any) -> None:
    """Wait until all ranks are here."""
    gathered(trainer, [0.0])
