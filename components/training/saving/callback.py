"""When a training saves, and how it stops when it is told to: decided at the end of a step, alike on all ranks."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import StageError, StoppedError
from components.platform.folders.deletion import remove_folder
from components.training.saving.cadence import Cadence
from components.training.saving.finite import check_states
from components.training.saving.uploads import Uploads
from components.training.workers.nodes import leads
from components.training.workers.ranks import anywhere, gathered, together


@dataclass
class StopRequest:
    """Whether this process was told to stop (SIGTERM)."""

    asked: bool = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """SIGTERM asks for a stop at the end of the step; a second one ends the process as it always did.

    Only the main thread of a process can be told.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def asked(_number: int, _frame: object) -> None:
        request.asked = True
        signal.signal(signal.SIGTERM, before)

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class When:
    """When checkpoints are written: at the end of a `cycle` of steps, and every so many minutes if that is given.

    With `best` at each evaluation that is the best so far, whatever the store's pace: its weights are handed on.
    """

    cycle: int = 1
    minutes: float | None = None
    best: bool = False


def saving_callback(trainer: Any, stage: str, uploads: Uploads, stop: StopRequest, when: When, resumed: Path) -> Any:
    """A transformers callback that writes checkpoints and hands them to `uploads`; to be added after all others.

    A checkpoint that is due (`control.should_save`, or by the clock of the first process) is written at the end of a
    `cycle` of steps (the steps that share one batch of completions), when no upload is in progress, and only if all of
    it is finite. None is written at the very last step: the finished model follows within the same interval. `resumed`
    is the folder that was resumed from: it is deleted once it has been read.
    """
    from transformers import TrainerCallback

    class Saving(TrainerCallback):
        due = stopping = False
        began = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            self.cadence = Cadence(when.minutes, time.monotonic()) if when.minutes else None

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
            self.began = time.monotonic()
            by_clock = self.cadence is not None and self.cadence.due(self.began)
            whole = state.global_step % when.cycle == 0
            last = state.global_step >= state.max_steps
            self.due = (self.due or control.should_save or by_clock) and not last
            # The first rank uploads, so it knows; a stop may be asked of any rank.
            first = state.is_world_process_zero
            ready = first and self.due and whole and not stop.asked and uploads.ready()
            failed, ready, stopping = anywhere(trainer, uploads.failed, ready, stop.asked)
            self.began = time.monotonic()  # of writing, to which a wait for the store does not count
            if leads():  # every rank has read it by now
                remove_folder(resumed)
            if failed:
                uploads.check()
                raise StageError(f"{stage}: the first rank could not store checkpoints; its own log says why")
            self.stopping = stopping and whole and not last
            control.should_save = not last and (ready or self.stopping)
            if self.stopping:
                control.should_training_stop = True
            if control.should_save:
                check_states(trainer, stage)
                self.due = False
            return control

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
            if when.best and state.best_global_step == state.global_step < state.max_steps:
                if leads():
                    uploads.wait()
                check_states(trainer, stage)
                self.due, control.should_save = False, True
            self.began = time.monotonic()  # an evaluation is no part of what writing takes
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            together(trainer)  # the random state of every rank is in the folder
            ended = time.monotonic()
            uploads.wrote(ended - self.began)
            if self.cadence:
                self.cadence.saved(self.began, ended)
            if leads():
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                uploads.start(folder, state.global_step, state.best_global_step)

    return Saving()


def end_early(control: Any, reason: str) -> None:
    """For a callback: end the training at this step on purpose. The evidence says why."""
    control.should_training_stop = True
    control.early_stop_reason = reason


def check_ended(trainer: Any, stage: str, uploads: Uploads, stop: StopRequest) -> str:
    """Why a training ended before its last step, "" where it did not.

    Raises StoppedError (exit code 75) when it was told to stop, once its checkpoint is stored, and StageError when
    nobody says why it ended.
    """
    state = trainer.state
    if state.global_step >= state.max_steps:
        return ""
    if reason := getattr(trainer.control, "early_stop_reason", ""):
        return str(reason)
    if any(anywhere(trainer, stop.asked)):
        if leads():
            uploads.wait()
        # The others wait here: the end of one process is the end of all.
        kept = int(gathered(trainer, [uploads.published])[0][0])
        raise StoppedError(
            f"{stage}: told to stop, after step {state.global_step} of {state.max_steps}; "
            + (
                "its checkpoint is stored: the same command goes on from there"
                if kept == state.global_step
                else f"the last checkpoint that could be stored is of step {kept}"
            )
        )
    raise StageError(
        f"{stage}: the training ended at step {state.global_step} of {state.max_steps} without a reason; its model is "
        "not handed on. A callback that stops on purpose calls saving.end_early"
    )
