"""A training's curves in MLflow while it runs, in the run of its stage.

Sent by a thread: a server that is slow or gone costs the training nothing, and what did not arrive is logged with the
stage's evidence at its end. A step that the run has already is not logged again, so a resumed training continues its
curve, and a new run of a resumed training gets the steps before from the trainer's own log.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from components.platform.tracking.runs import STAGE_RUN_VARIABLE, Tracked

LOG = logging.getLogger(__name__)
SECONDS = 10.0  # between two messages to the server
LAST_SECONDS = 30.0  # what the end of a training waits for the last one
# Dense bf16 arithmetic of the cards of the shipped profiles (NVIDIA's data sheets), FLOP/s.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def watched(trainer: Any, names: Mapping[str, str]) -> Any:
    """The trainer, whose metrics go to the stage's run under our names (`names`: the trainer's to ours)."""
    run = os.environ.get(STAGE_RUN_VARIABLE)
    if run and trainer.is_world_process_zero():
        trainer.add_callback(live_callback(trainer, names, Sender(Tracked(run))))
    return trainer


class Sender:
    """Sends records of `step` and numbers to a run, a few seconds' worth at a time, each step of a metric once."""

    def __init__(self, tracked: Tracked, seconds: float = SECONDS) -> None:
        self._tracked = tracked
        self._seconds = seconds
        self._records: queue.Queue[dict[str, float] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="live metrics", daemon=True)
        self._told = False
        self._thread.start()

    def put(self, record: dict[str, float]) -> None:
        self._records.put(record)

    def close(self, seconds: float = LAST_SECONDS) -> None:
        """Send what is left; returns after `seconds` at the latest."""
        self._records.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch: list[dict[str, float]] = []
            until: float | None = None
            while until is None or time.monotonic() < until:
                try:
                    record = self._records.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
                except queue.Empty:
                    break
                if record is None:
                    ended = True
                    break
                until = until or time.monotonic() + self._seconds
                batch.append(record)
            self._send(batch)

    def _send(self, batch: list[dict[str, float]]) -> None:
        if not batch:
            return
        try:
            self._tracked.history(batch, once=True)
        except Exception as error:  # whatever a server does, the training goes on
            if not self._told:
                LOG.warning("live metrics: %s; the curves are complete when the stage ends", error)
            self._told = True


def live_callback(trainer: Any, names: Mapping[str, str], sender: Sender) -> Any:
    """A transformers callback: the trainer's metrics, tokens/s, MFU, step time and GPU memory of each step."""
    from transformers import TrainerCallback

    meter = Meter(trainer)

    class Live(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            for entry in state.log_history:  # of the steps before, where this training was resumed
                sender.put(renamed(entry, names, int(entry["step"])))

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            meter.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            meter.end()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            record = renamed(logs or {}, names, state.global_step)
            if logs and "loss" in logs:
                record |= meter.read(logs.get("num_tokens"))
            sender.put(record)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            sender.close()

    return Live()


class Meter:
    """Speed and memory of the step that has just ended, seen from the first rank."""

    def __init__(self, trainer: Any) -> None:
        import torch

        self._cuda = torch.cuda if trainer.args.device.type == "cuda" else None
        name = self._cuda.get_device_name() if self._cuda else ""
        self._peak = next((flops for card, flops in PEAK_FLOPS.items() if card in name), None)
        self._processes = trainer.accelerator.num_processes
        self._weights = sum(parameter.numel() for parameter in trainer.model.parameters())
        self._tokens: float | None = None
        self._started = self._seconds = 0.0

    def begin(self) -> None:
        self._started = time.perf_counter()

    def end(self) -> None:
        self._seconds = time.perf_counter() - self._started

    def read(self, tokens: float | None) -> dict[str, float]:
        """`tokens` is how many were seen since the training began, all ranks together."""
        found = {"step_seconds": self._seconds}
        if tokens is not None and self._tokens is not None and self._seconds:
            speed = (tokens - self._tokens) / self._seconds
            found["tokens_per_second"] = speed
            if self._peak:
                # Six operations for each weight and token, as if nothing was recomputed or generated.
                found["mfu"] = 6 * self._weights * speed / (self._peak * self._processes)
        self._tokens = tokens
        if self._cuda:
            found["gpu_peak_gib"] = self._cuda.max_memory_allocated() / 2**30
            self._cuda.reset_peak_memory_stats()
        return found


def renamed(entry: Mapping[str, Any], names: Mapping[str, str], step: int) -> dict[str, float]:
    """A trainer's log entry under our names, evaluations with `held_out_` before them; finite numbers only."""
    found: dict[str, float] = {"step": step}
    for theirs, value in entry.items():
        held_out = theirs.startswith("eval_")
        ours = names.get(theirs.removeprefix("eval_"))
        if ours and isinstance(value, int | float) and math.isfinite(value):
            found[f"held_out_{ours}" if held_out else ours] = float(value)
    return found
