"""What the two trainers share: the fields of their recipe parts, data order, resuming, progress, the end.

Heavy libraries are imported inside functions, so that the configs can be read without them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.platform import progress
from components.platform.folders.deletion import remove_folder
from components.platform.machine import lengths_that_vary, needs_space
from components.platform.models import local_model, weights_digest
from components.platform.storage import store
from components.training.checkpoints import Checkpoints, resume_key
from components.training.live_metrics import renamed, watched
from components.training.lora import Lora, add_adapter
from components.training.place import Split
from components.training.pretrained import Dtype, Pretrained, load_pretrained, save_plain
from components.training.saving.callback import When, check_ended, saving_callback, stop_requests
from components.training.saving.finite import check_states, watch_gradients
from components.training.saving.shards import full_weights, keep_shards
from components.training.saving.uploads import Uploads, uploading
from components.training.workers.folder import work_folder
from components.training.workers.nodes import leads, parts_of_nodes
from components.training.workers.ranks import gathered, together

Records = list[dict[str, float]]


LOG = logging.getLogger(__name__)


# Fields that are no part of `resumed_part`.
WITHOUT_EFFECT = ("save_steps", "save_minutes", "gradient_checkpointing", "dtype", "rollout_steps", "hand_on")


class TrainerConfig(BaseModel):
    """Fields of both trainers. Beside each: the default of TRL 1.16 (or transformers) where ours differs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: float = Field(1.0, gt=0)  # transformers: 3
    max_steps: int | None = Field(None, ge=1)  # overrides `epochs`
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"  # linear
    warmup_steps: float = Field(0.0, ge=0)  # a share of all steps when below 1
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    optim: Literal["adamw_torch", "adamw_torch_fused", "adafactor"] = "adamw_torch_fused"
    seed: int = 42
    save_steps: int = Field(100, ge=1)  # 500; what a lost machine costs at most
    save_minutes: float | None = Field(None, gt=0)  # instead of save_steps
    bf16: bool = False  # True; of the arithmetic only, the weights stay fp32
    gradient_checkpointing: bool = False  # True, which trades a fifth of the speed for memory
    device: Literal["auto", "cpu"] = "auto"
    dtype: Dtype = "float32"  # of the weights that are handed on
    lora: Lora | None = None  # null: every weight is trained

    def resumed_part(self) -> dict[str, Any]:
        """What one training must share with another to go on from its checkpoint.

        Left out is what changes no result: how often it saves, how memory is saved, and the format that the finished
        weights are written in. Where it runs, and how a step is split there, is no part of a config at all.
        """
        return self.model_dump(mode="json", exclude=set(WITHOUT_EFFECT))

    @property
    def optimizer_bytes(self) -> int:
        """Bytes of optimizer state for each trained weight; Adafactor keeps rows and columns only."""
        return 0 if self.optim == "adafactor" else 8

    def arguments(self, output_dir: Path, steps: int, split: Split) -> dict[str, Any]:
        """The keyword arguments that both TRL configs take for these fields."""
        import torch

        use_cpu = self.device == "cpu" or not torch.cuda.is_available()
        if use_cpu and "WORLD_SIZE" in os.environ:
            # accelerate would call it cpu:0, a place where torch.load can put no optimizer state
            os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
        if not use_cpu:
            lengths_that_vary()
        return {
            "output_dir": str(output_dir),
            "max_steps": steps,
            "per_device_train_batch_size": split.micro_batch,
            "gradient_accumulation_steps": split.accumulation,
            "lr_scheduler_type": self.lr_scheduler_type,
            "warmup_steps": self.warmup_steps,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "optim": self.optim,
            "seed": self.seed,
            "bf16": self.bf16,
            "gradient_checkpointing": self.gradient_checkpointing,
            "use_cpu": use_cpu,
            "save_strategy": "no" if self.save_minutes else "steps",  # saving/callback.py decides then
            "save_steps": self.save_steps,
            "save_total_limit": None,  # a folder goes when it is uploaded, not when the next one comes
            "logging_strategy": "steps",
            "logging_steps": 1,
            "logging_nan_inf_filter": False,  # a loss that is no number is to be seen
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }


@dataclass(frozen=True)
class Training:
    """One call of a trainer: the opened model, and the checkpoints that this very training may continue from."""

    opened: Pretrained
    checkpoints: Checkpoints
    start_digest: str
    open: Callable[[], Pretrained]  # the same model once more, as it was before the training
    cycle: int = 1  # steps that belong together: saved and stopped only at their end
    save_minutes: float | None = None
    best: bool = False  # the weights of the best evaluation are handed on, not those of the last step

    def run(self, build: Callable[[Path], Any], names: Mapping[str, str], out: Path, dtype: Dtype) -> dict[str, Any]:
        """Train with what `build(output_dir)` returns, resuming where possible, and save; returns shared evidence.

        `names` maps the trainer's names of metrics to ours. Raises StageError for a loss or gradient that is no number
        and for a training that ended before its last step, StoppedError when it was told to stop, InputError for a
        full disk.
        """
        with needs_space(out), work_folder(out) as work:
            trainer = watched(keep_shards(build(work / "trainer")), names)
            checkpoints = replace(self.checkpoints, parts=parts_of_nodes())
            with uploading(checkpoints) as uploads:
                resumed, ended_early = _train(trainer, checkpoints, work, uploads, self)
                records = history(trainer.state.log_history, names)
                check_states(trainer, self.checkpoints.stage)
                handed_on = self._best(trainer, checkpoints, work, uploads)
                model = self._trained(trainer)
                if trainer.is_world_process_zero():
                    save_plain(model, self.opened.tokenizer, out, dtype)
                uploads.finish()
            together(trainer)  # the others end when the first has stored what it had to
        state = trainer.state
        steps = int(state.global_step)
        best = {}
        if state.best_metric is not None:
            best = {"held_out_reward_best": float(state.best_metric), "best_step": int(state.best_global_step)}
        return {
            "steps": steps,
            "resumed_from_step": resumed,
            **({"ended_early": ended_early} if ended_early else {}),
            "pad_rule": self.opened.pad_rule,
            "end_rule": self.opened.end_rule,
            "weights_sha256_start": self.start_digest,
            # Only the first process leaves evidence, and the others may have other disks.
            "weights_sha256": weights_digest(out) if trainer.is_world_process_zero() else "",
            "metrics": {
                "loss_first": records[0]["loss"],
                "loss_last": records[-1]["loss"],
                "steps": steps,
                "resumed_from_step": resumed,
                **best,
                **({"handed_on_step": handed_on} if self.best else {}),
            },
            "history": records,
        }

    def _best(self, trainer: Any, checkpoints: Checkpoints, work: Path, uploads: Uploads) -> int:
        """Which step's weights the trainer holds then: the last one's, or those of the best one, read from the store.

        To be called by all. Raises StageError when the best checkpoint could not be stored.
        """
        last, best = int(trainer.state.global_step), trainer.state.best_global_step
        if not self.best or best in (None, last):
            return last
        folder = work / "best"
        if leads():
            uploads.wait()  # it may be the one on its way
            checkpoints.fetch_step(int(best), folder)
        together(trainer)
        trainer._load_from_checkpoint(str(folder / f"checkpoint-{best}"))
        together(trainer)
        if leads():
            remove_folder(folder)
        LOG.info("%s: the weights of step %d, the best one, are handed on", checkpoints.stage, best)
        return int(best)

    def _trained(self, trainer: Any) -> Any:
        """The trained model on the first process, whole; to be called by all."""
        if not trainer.is_fsdp_enabled:
            return trainer.accelerator.unwrap_model(trainer.model)
        whole = full_weights(trainer)
        if not trainer.is_world_process_zero():
            return None
        model = self.open().model
        model.load_state_dict(whole, strict=False)  # with an adapter, only that was trained
        return model


def open_training(stage: str, mix: Path, model: str, config: TrainerConfig, uri: str, code: str) -> Training:
    """Load `model` (a reference) for training, with the recipe's adapter if it has one.

    Checkpoints count only for the same config, data, weights.
    """
    quiet_libraries()
    base = local_model(model)
    start = weights_digest(base)
    inputs = (("mix", store.file_sha256(mix)), ("weights", start))
    key = resume_key(stage, config.resumed_part(), inputs)
    checkpoints = Checkpoints(uri, stage, key, inputs, code)

    def opened() -> Pretrained:
        found = load_pretrained(base, config.seed)
        if config.lora:
            found = replace(found, model=add_adapter(found.model, config.lora, config.seed))
        return found

    best = getattr(config, "hand_on", "last") == "best"
    return Training(opened(), checkpoints, start, opened, getattr(config, "cycle", 1), config.save_minutes, best)


def data_order(rows: int, wanted: int, seed: int) -> list[int]:
    """`wanted` row numbers: a new permutation of all rows each epoch, decided here and not by a trainer.

    Written out in full, so a resumed training only has to skip what is done, in whatever epoch it was.
    """
    import numpy as np

    order: list[int] = []
    epoch = 0
    while len(order) < wanted:
        order += np.random.default_rng([seed, epoch]).permutation(rows).tolist()
        epoch += 1
    return order[:wanted]


def rows_of(units: Sequence[Sequence[int]], split: Split, ranks: int) -> Callable[[int, int], list[int]]:
    """Which rows a rank reads at a step (from 0).

    `units` are what one sequence of a batch holds (a row or a pack of rows), in order: batches go to the ranks in turn.
    """
    per_step = split.micro_batch * split.accumulation * ranks

    def of(step: int, rank: int) -> list[int]:
        block = units[step * per_step : (step + 1) * per_step]
        mine = [unit for place, unit in enumerate(block) if place // split.micro_batch % ranks == rank]
        return [row for unit in mine for row in unit]

    return of


def series(records: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [record[name] for record in records if name in record]


def quiet_libraries() -> None:
    """Libraries' own bars and advice off; ours say what matters. Threads that wait, sleep: spinning, as is the default,
    made a step five times slower on two cores that did anything else."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def import_trl(vllm: bool = False) -> Any:
    """The `trl` module. It imports vLLM wherever that is installed, which takes longer than all the rest together:
    unless vLLM is to generate (decided once per process), TRL is told that there is none."""
    from trl import import_utils

    if not vllm:
        import_utils.is_vllm_available = lambda *_, **__: False
    import trl

    return trl


def _train(trainer: Any, checkpoints: Checkpoints, work: Path, uploads: Uploads, training: Training) -> tuple[int, str]:
    """Run a TRL trainer from its newest complete checkpoint.

    Returns the step it resumed from (0: the beginning), and why it ended before its last step ("": it did not).
    """
    from transformers import PrinterCallback

    stage, resume = checkpoints.stage, work / "resume"
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watching_callback(stage))
    watch_gradients(trainer, stage)
    # One process of each node fetches, the very first one with the lease; the others, on the same disk, are told what.
    at = int(gathered(trainer, [checkpoints.fetch(resume) if leads() else 0])[0][0])
    with stop_requests() as stop:
        when = When(training.cycle, training.save_minutes, training.best)
        trainer.add_callback(saving_callback(trainer, stage, uploads, stop, when, resume))
        if at:
            LOG.info("%s: resuming from step %d of %d", stage, at, trainer.args.max_steps)
        trainer.train(resume_from_checkpoint=str(resume / f"checkpoint-{at}") if at else None)
        return at, check_ended(trainer, stage, uploads, stop)


def history(log: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Records:
    """One record per step of a trainer's log, of finite numbers only; `names` maps its names of metrics to ours."""
    return [renamed(entry, names, entry["step"]) for entry in log if "loss" in entry]


def _watching_callback(stage: str) -> Any:
    """Shows progress."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.started = self.shown = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:  # noqa: ARG002
            if not logs or "loss" not in logs or not state.is_world_process_zero:
                return
            now = time.monotonic()
            step, last = state.global_step, state.max_steps
            if step >= last or now - self.shown >= progress.PLAIN_LINE_SECONDS:
                self.shown = now
                progress.line(f"{stage} step (loss {logs['loss']:.3f})", step, last, now - self.started)

    return Watch()
