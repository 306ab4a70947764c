"""Questions that are held out of a GRPO training to measure it by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.errors import InputError
from components.training.place import TrainerPlace
from components.training.rows import Row

_MOST_ROWS = 8  # of one evaluation batch of a process


def hold_out(questions: Sequence[Row], count: int, seed: int) -> tuple[list[Row], list[Row]]:
    """The questions to train on, in their order, and `count` others, drawn by the seed.

    Raises InputError when nothing would be left to train on.
    """
    if not count:
        return list(questions), []
    if count >= len(questions):
        raise InputError(f"grpo.evaluation_rows: {count} of {len(questions)} questions leave none to train on")
    drawn = set(np.random.default_rng([seed, len(questions)]).permutation(len(questions))[:count].tolist())
    kept = [question for number, question in enumerate(questions) if number not in drawn]
    return kept, [questions[number] for number in sorted(drawn)]


def evaluation_fields(every: int, rows: int, place: TrainerPlace) -> dict[str, Any]:
    """The keyword arguments of TRL's config for an evaluation of `rows` questions, one completion each.

    Raises InputError unless every process gets the same number of them.
    """
    if not rows:
        return {}
    share, rest = divmod(rows, place.processes)
    if rest:
        raise InputError(
            f"grpo.evaluation_rows: {rows} questions cannot be split evenly over {place.processes} processes"
        )
    batch = next(size for size in range(min(share, _MOST_ROWS), 0, -1) if share % size == 0)
    return {
        "eval_strategy": "steps",
        "eval_steps": every,
        "per_device_eval_batch_size": batch,
        "num_generations_eval": 1,
    }
