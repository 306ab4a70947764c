"""What the two trainers share: the fields of their recipe parts, data order, resuming, progress, the end.

Heavy libraries are imported inside functions, so that the configs can be read without them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from components.errors import InputError, StageError
from components.platform import progress
from components.platform.checkpoints import Checkpoints, upload_callback
from components.platform.pretrained import Dtype, Pretrained, save_plain


class TrainerConfig(BaseModel, extra="forbid", frozen=True):
    """Fields of both trainers. Beside each: the default of TRL 1.16 where ours differs, and why."""

    epochs: float = Field(1.0, gt=0)  # transformers: 3
    max_steps: int | None = Field(None, ge=1)  # overrides `epochs`
    gradient_accumulation_steps: int = Field(1, ge=1)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"  # TRL: linear
    warmup_steps: float = Field(0.0, ge=0)  # a share of all steps when below 1
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    optim: Literal["adamw_torch", "adamw_torch_fused", "adafactor"] = "adamw_torch"  # TRL: adamw_torch_fused
    seed: int = 42
    save_steps: int = Field(100, ge=1)  # transformers: 500; what a lost machine costs at most
    bf16: bool = False  # TRL: True; the arithmetic only, weights stay fp32
    gradient_checkpointing: bool = False  # TRL: True, which trades a fifth of the speed for memory
    device: Literal["auto", "cpu"] = "auto"
    dtype: Dtype = "float32"  # of the weights that are handed on

    def arguments(self, output_dir: Path, steps: int) -> dict[str, Any]:
        """The keyword arguments that both TRL configs take for these fields."""
        import torch

        return {
            "output_dir": str(output_dir),
            "max_steps": steps,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
            "lr_scheduler_type": self.lr_scheduler_type,
            "warmup_steps": self.warmup_steps,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "optim": self.optim,
            "seed": self.seed,
            "bf16": self.bf16,
            "gradient_checkpointing": self.gradient_checkpointing,
            "use_cpu": self.device == "cpu" or not torch.cuda.is_available(),
            "save_strategy": "steps",
            "save_steps": self.save_steps,
            "save_total_limit": 1,
            "logging_strategy": "steps",
            "logging_steps": 1,
            "report_to": "none",
            "disable_tqdm": True,
            "push_to_hub": False,
            "dataloader_pin_memory": False,
        }


def parse_messages(value: Any, where: str) -> list[dict[str, str]]:
    """The chat messages of a mix row, from their JSON text; raises InputError, `where` naming file and row."""
    try:
        messages = json.loads(value) if isinstance(value, str) else None
    except json.JSONDecodeError:
        messages = None
    if not isinstance(messages, list) or not messages or not all(_is_message(m) for m in messages):
        raise InputError(f'{where}: prompt: must be JSON text of messages [{{"role": ..., "content": ...}}]')
    return messages


def _is_message(message: Any) -> bool:
    return isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))


def data_order(rows: int, wanted: int, seed: int) -> list[int]:
    """`wanted` row numbers: a new permutation of all rows each epoch, decided here and not by a trainer.

    Written out in full, a resumed training only has to skip what is done, in whatever epoch it was.
    """
    import numpy as np

    order: list[int] = []
    epoch = 0
    while len(order) < wanted:
        order += np.random.default_rng([seed, epoch]).permutation(rows).tolist()
        epoch += 1
    return order[:wanted]


@contextmanager
def work_folder(out: Path) -> Iterable[Path]:  # type: ignore[misc]
    """An empty folder beside `out`, on the same disk, removed at the end; a killed run's is emptied by the next."""
    folder = out.with_name(f".{out.name}.training")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def train(trainer: Any, checkpoints: Checkpoints, work: Path) -> int:
    """Run a TRL trainer from its newest complete checkpoint; returns the step it resumed from (0: the beginning)."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_progress_callback(checkpoints.stage))
    trainer.add_callback(upload_callback(checkpoints, Path(trainer.args.output_dir)))
    found = checkpoints.newest(work / "resume")
    if found is None:
        trainer.train()
        return 0
    folder, step = found
    print(f"{checkpoints.stage}: resuming from step {step} of {trainer.args.max_steps}", file=sys.stderr, flush=True)
    trainer.train(resume_from_checkpoint=str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    return step


def history(trainer: Any, names: Mapping[str, str]) -> list[dict[str, float]]:
    """One record per step, `names` maps the trainer's names to ours; raises StageError for a loss that is no number."""
    import math

    records = []
    for entry in trainer.state.log_history:
        if "loss" not in entry:
            continue
        if not math.isfinite(entry["loss"]):
            raise StageError(f"step {entry['step']}: the loss is {entry['loss']}; lower learning_rate or switch bf16 off")
        values = {ours: float(entry[theirs]) for theirs, ours in names.items() if entry.get(theirs) is not None}
        records.append({"step": entry["step"], **{k: v for k, v in values.items() if math.isfinite(v)}})
    return records


def finish(trainer: Any, opened: Pretrained, out: Path, dtype: Dtype) -> None:
    """Save the trained model as a plain folder (rank 0 only)."""
    if trainer.is_world_process_zero():
        save_plain(trainer.accelerator.unwrap_model(trainer.model), opened.tokenizer, out, dtype)


def series(records: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [record[name] for record in records if name in record]


def quiet_libraries() -> None:
    """Libraries' own bars and advice off; ours say what matters."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def _progress_callback(stage: str) -> Any:
    from transformers import TrainerCallback

    class Lines(TrainerCallback):
        def __init__(self) -> None:
            self.started = self.shown = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            now = time.monotonic()
            last = state.global_step >= state.max_steps
            if logs and "loss" in logs and (last or now - self.shown >= progress.PLAIN_LINE_SECONDS):
                self.shown = now
                label = f"{stage} step (loss {float(logs['loss']):.3f})"
                progress.line(label, state.global_step, state.max_steps, now - self.started)

    return Lines()
