"""A number that is none ends a training before it is learned from, and is never stored."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from components.errors import StageError
from components.training.workers.ranks import anywhere, gathered

ADVICE = "lower learning_rate or switch bf16 off"


def watch_gradients(trainer: Any, stage: str) -> None:
    """Check loss and gradient norm of each step on all ranks, between the backward pass and the update.

    transformers computes the norm there and tells no callback, so its own function is wrapped. The weights are those
    of the step before when the StageError comes. It names step, ranks and rows: `trainer.rows_of(step, rank)` gives
    the row numbers in the mix, from 1, where the stage has set it.
    """
    computed = trainer._get_grad_norm

    def checked(model: Any, grad_norm: Any = None) -> Any:
        norm = computed(model, grad_norm=grad_norm)
        if hasattr(norm, "full_tensor"):  # sharded: of this rank's part only, so far
            norm = norm.full_tensor()
        loss = float(trainer._tr_loss)  # since the last log, which is the last step
        told = gathered(trainer, [loss, float(norm)])
        step = trainer.state.global_step
        losses = {rank: loss for rank, (loss, _) in enumerate(told) if not math.isfinite(loss)}
        if losses:
            value = next(iter(losses.values()))
            raise StageError(
                f"{stage}: step {step + 1}: the loss is {value}; {ADVICE} ({_rows(trainer, step, list(losses))})"
            )
        ranks = [rank for rank, (_, norm) in enumerate(told) if not math.isfinite(norm)]
        if ranks:
            raise StageError(
                f"{stage}: step {step + 1}: the gradient's norm is {told[ranks[0]][1]} although the loss is finite; "
                f"{ADVICE}, and look at these rows ({_rows(trainer, step, ranks)}); nothing of this step was stored"
            )
        return norm

    trainer._get_grad_norm = checked


def check_states(trainer: Any, stage: str) -> None:
    """Raise StageError on all ranks where any weight or optimizer state of any rank is no finite number."""
    names = list(_not_finite(trainer))
    if any(anywhere(trainer, bool(names))):
        here = f" (here: {', '.join(names[:3])}; {len(names)} in all)" if names else ""
        raise StageError(
            f"{stage}: step {trainer.state.global_step}: weights or optimizer states are no finite numbers{here}; no "
            f"checkpoint was written; {ADVICE}"
        )


def _not_finite(trainer: Any) -> Iterator[str]:
    """Names of tensors with a NaN or an infinite value, as far as this rank holds them."""
    for name, parameter in trainer.model.named_parameters():
        if not _finite(parameter.detach()):
            yield name
    for number, state in enumerate(trainer.optimizer.state.values() if trainer.optimizer else ()):
        for name, value in state.items():
            if hasattr(value, "is_floating_point") and value.is_floating_point() and not _finite(value):
                yield f"optimizer state {number}: {name}"


def _finite(tensor: Any) -> bool:
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return bool(local.isfinite().all())


def _rows(trainer: Any, step: int, ranks: list[int]) -> str:
    known = getattr(trainer, "rows_of", None)
    return "; ".join(
        f"rank {rank}" + (f", rows {', '.join(str(row) for row in known(step, rank))}" if known else "")
        for rank in ranks
    )
