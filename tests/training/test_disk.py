"""The disk that a training needs for its checkpoints: one is written while none is on its way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from several_processes import write_mix

from components.errors import StoppedError
from components.stages.sft import SftConfig, sft
from components.training import trainer
from components.training.checkpoints import Checkpoints
from components.training.saving.uploads import Uploads

CONFIG = SftConfig(max_steps=8, save_steps=1, global_batch=1, learning_rate=1e-3, optim="adamw_torch", device="cpu")
MOST = 2.2  # checkpoints


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Watched:
    """What the folder `out` held, in checkpoints, at each moment at which something was added to it."""

    def __init__(self, out: Path, patch: pytest.MonkeyPatch, at_start: Callable[[int], None]) -> None:
        self.out, self.held = out, list[float]()
        self.one, self.started = 0, 0
        start, save, put = Uploads.start, trainer.save_plain, Checkpoints.put
        sent = threading.Event()

        def starting(uploads: Uploads, folder: Path, step: int, best: int | None = None) -> None:
            self.one, self.started = size(folder), self.started + 1
            self.note()
            sent.clear()
            start(uploads, folder, step, best)
            at_start(step)

        def saving(*given: Any) -> None:
            save(*given)
            self.note()
            sent.set()

        def putting(*given: Any) -> None:
            sent.wait(0.2)  # slower than a step, as a store is
            put(*given)

        patch.setattr(Uploads, "start", starting)
        patch.setattr(trainer, "save_plain", saving)
        patch.setattr(Checkpoints, "put", putting)

    def note(self) -> None:
        self.held.append(size(self.out) / self.one)


def test_the_disk_holds_two_checkpoints_at_most_after_a_resume_too(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix, out, checkpoints = write_mix(tmp_path / "mix.parquet", 3), tmp_path / "out", tmp_path / "c"

    told: list[int] = []

    def stop(step: int) -> None:
        told.append(step)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    watched = Watched(out, monkeypatch, stop)
    with pytest.raises(StoppedError):
        sft(mix, str(tiny_model), CONFIG, str(checkpoints), out)
    first = watched.started
    evidence = sft(mix, str(tiny_model), CONFIG, str(checkpoints), out)
    assert evidence["resumed_from_step"] > 0 and first >= 1 and watched.started > first
    assert max(watched.held) <= MOST and len(watched.held) > 2
    assert 0 < size(out) < watched.one  # the model, and nothing else
