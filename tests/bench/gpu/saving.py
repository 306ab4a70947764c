"""What a checkpoint costs the GPU: our own trainer, with and without checkpoints.

Weights and AdamW's state of a 0.4B model in fp32; the store is a folder of this machine, so the upload is as fast as
this disk. `blocked` is the time from the end of a step until the next one may begin.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from common import HALF, TINY, clock, device, options, random_model, save
from speed import traces
from tiny import tokenizer_of

from components.stages.sft import SftConfig, build_trainer
from components.training.checkpoints import Checkpoints
from components.training.place import TrainerPlace
from components.training.rows import Encoded
from components.training.saving import callback as saving_module
from components.training.saving.callback import StopRequest, When, saving_callback
from components.training.saving.shards import keep_shards
from components.training.saving.uploads import Uploads, uploading
from components.training.workers.folder import work_folder

STEPS, EVERY = (150, 60) if "--cpu" not in sys.argv else (12, 4)


def main() -> None:
    args = options(__doc__ or "")
    shape, where = (TINY, device(True)) if args.cpu else (HALF, device(False))
    folder = Path(tempfile.mkdtemp())
    checkpoints = Checkpoints(str(folder / "store"), "sft", "0" * 64)
    checkpoints.fetch(folder / "none")
    with work_folder(folder / "out") as work, uploading(checkpoints) as uploads:
        trainer = keep_shards(built(shape, where, work / "trainer"))
        times = Times(where, uploads)
        trainer.add_callback(times.callback())
        saving = saving_callback(trainer, "sft", uploads, StopRequest(), When(), work / "resume")
        times.split(trainer)
        trainer.add_callback(saving)
        trainer.add_callback(times.saved())
        trainer.train()
        ended = time.perf_counter()
        uploads.wait()
        times.found["wait_at_the_end_seconds"] = round(time.perf_counter() - ended, 2)
    times.found["published"] = uploads.published
    print(times.read(), flush=True)
    save(args.json, {"saving": times.read()})


def built(shape: Any, where: Any, folder: Path) -> Any:
    rows = traces(shape.vocabulary, 8 * STEPS, 512 if where.type == "cpu" else 2048, 30 if where.type == "cpu" else 400)
    config = SftConfig(
        max_steps=STEPS,
        global_batch=8,
        max_length=2048,
        tokens_per_pack=8192,
        bf16=True,
        save_steps=EVERY,
        device="cpu" if where.type == "cpu" else "auto",
    )
    opened = SimpleNamespace(model=random_model(shape, where), tokenizer=tokenizer_of(shape.vocabulary))
    encoded = Encoded(rows, 0, 0, 0, tuple(range(1, len(rows) + 1)))
    return build_trainer(opened, encoded, config, folder, TrainerPlace())


class Times:
    """Steps while nothing is stored and while something is; what a save keeps the trainer from."""

    def __init__(self, where: Any, uploads: Uploads) -> None:
        self._where, self._uploads = where, uploads
        self._began = self._ended = 0.0
        self._busy = False
        self.alone: list[float] = []
        self.meanwhile: list[float] = []
        self.parts: dict[str, list[float]] = {}
        self.found: dict[str, Any] = {"blocked_seconds": []}

    def callback(self) -> Any:
        from transformers import TrainerCallback

        outer = self

        class Steps(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                outer._began, outer._busy = clock(outer._where), outer._uploads.busy

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                outer._ended = clock(outer._where)
                if state.global_step > 5:
                    (outer.meanwhile if outer._busy else outer.alone).append(outer._ended - outer._began)

        return Steps()

    def saved(self) -> Any:
        from transformers import TrainerCallback

        outer = self

        class Saved(TrainerCallback):
            def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                outer.found["blocked_seconds"].append(round(clock(outer._where) - outer._ended, 3))

        return Saved()

    def split(self, trainer: Any) -> None:
        """Time what a save consists of."""

        def timed(name: str, inner: Any) -> Any:
            def call(*given: Any, **named: Any) -> Any:
                began = clock(self._where)
                try:
                    return inner(*given, **named)
                finally:
                    self.parts.setdefault(name, []).append(round(clock(self._where) - began, 3))

            return call

        saving_module.check_states = timed("check that all is finite", saving_module.check_states)
        trainer.save_model = timed("weights", trainer.save_model)
        trainer._save_optimizer_and_scheduler = timed("optimizer", trainer._save_optimizer_and_scheduler)
        start = self._uploads.start

        def starts(folder: Path, step: int, best: int | None = None) -> None:
            self.found["bytes"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            start(folder, step, best)

        self._uploads.start = starts  # type: ignore[method-assign]

    def read(self) -> dict[str, Any]:
        blocked = self.found["blocked_seconds"]
        return {
            **self.found,
            "steps_alone": len(self.alone),
            "step_seconds_alone": round(median(self.alone), 4),
            "steps_meanwhile": len(self.meanwhile),
            "step_seconds_meanwhile": round(median(self.meanwhile), 4) if self.meanwhile else None,
            "mb_per_second": [round(self.found["bytes"] / 1e6 / seconds) for seconds in blocked],
            "parts_seconds": self.parts,
        }


if __name__ == "__main__":
    main()
