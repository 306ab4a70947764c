"""Tokens a second and MFU of a whole 1B model: ours packed and padded, and TRL's own script on the same rows.

Each case has a time limit of its own, and its figures are there although a later one fails.
"""

from __future__ import annotations

import gc
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from common import LLAMA_1B, TINY, clock, device, flops_per_token, options, random_model, save
from tiny import tokenizer_of

from components.stages.sft import SftConfig, build_trainer
from components.training.live_metrics import PEAK_FLOPS
from components.training.place import TrainerPlace
from components.training.rows import Encoded
from components.training.trainer import import_trl

STEPS, WARM = (8, 2) if "--cpu" not in sys.argv else (3, 1)  # the first ones compile and allocate
SECONDS = 30  # of each case
PROFILED = ("ours, packs of 8192",)
ROWS = 32 if "--cpu" not in sys.argv else 8


def main() -> None:
    args = options(__doc__ or "")
    shape, where = (TINY, device(True)) if args.cpu else (LLAMA_1B, device(False))
    import_trl()  # which takes longer than a case
    rows = traces(shape.vocabulary, ROWS * STEPS, 512 if args.cpu else 4096, 30 if args.cpu else 600)
    found: list[dict[str, Any]] = []
    cases: list[tuple[str, Any]] = [
        ("ours, packs of 8192", (1, 8192, None, True)),
        ("TRL's own, 4 rows", None),
        ("ours, padded, 4 rows", (4, None, None, True)),
        ("ours, packs of 8192, masked", (1, 8192, "sdpa", True)),
        ("ours, packs of 8192, no checkpointing", (1, 8192, None, False)),
    ]
    for name, case in cases:
        began = time.perf_counter()
        try:
            with tempfile.TemporaryDirectory() as folder, limited(SECONDS):
                trainer = theirs(shape, where, rows, folder) if case is None else ours(shape, where, rows, folder, case)
                trainer.args.save_strategy = "no"  # transformers saves at the last step otherwise
                built = {"case": name, "seconds_built": round(time.perf_counter() - began, 1)}
                found.append({**built, **timed(trainer, rows, shape, where, profiled=name in PROFILED)})
        except Exception as error:
            found.append({"case": name, "error": f"{type(error).__name__}: {str(error)[:300]}"})
        found[-1]["seconds_in_all"] = round(time.perf_counter() - began, 1)
        trainer = None
        gc.collect()
        if not args.cpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(found[-1], flush=True)
        save(args.json, {"speed": {"model": "1B, random weights", "rows_per_step": ROWS, "cases": found}})


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds."""

    def over(_number: int, _frame: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def traces(vocabulary: int, count: int, longest: int, median: int) -> list[dict[str, list[int]]]:
    """Random tokens with the lengths of reasoning traces (log-normal; median as of the shared sets), a fifth of each
    the question, which is not learnt."""
    rng = np.random.default_rng(0)
    rows = []
    for length in np.clip(rng.lognormal(np.log(median), 0.6, count), 16, longest).astype(int):
        ids = rng.integers(3, vocabulary, length).tolist()
        asked = length // 5
        rows.append({"input_ids": ids, "labels": [-100] * asked + ids[asked:]})
    return rows


def ours(shape: Any, where: torch.device, rows: Any, folder: str, case: Any) -> Any:
    micro, pack, attention, checkpointing = case
    config = SftConfig(
        max_steps=STEPS,
        global_batch=ROWS,
        max_length=4096,
        tokens_per_pack=pack,
        bf16=True,
        gradient_checkpointing=checkpointing,
        save_steps=10**6,
        optim="adamw_torch_fused",
        device="cpu" if where.type == "cpu" else "auto",
    )
    opened = SimpleNamespace(model=random_model(shape, where), tokenizer=tokenizer_of(shape.vocabulary))
    encoded = Encoded(rows, 0, 0, 0, tuple(range(1, len(rows) + 1)))
    trainer = build_trainer(opened, encoded, config, Path(folder), TrainerPlace(micro_batch=micro))
    if attention:
        trainer.model.set_attn_implementation(attention)
    return trainer


def theirs(shape: Any, where: torch.device, rows: Any, folder: str) -> Any:
    """`trl sft` with its defaults, at the same batch: bf16, gradient checkpointing, no packing."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    torch.backends.cuda.enable_cudnn_sdp(True)  # torch's default, which ours changes
    arguments = SFTConfig(
        output_dir=folder,
        max_steps=STEPS,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=ROWS // 4,
        bf16=True,
        use_cpu=where.type == "cpu",
        max_length=4096,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    return SFTTrainer(
        model=random_model(shape, where),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer_of(shape.vocabulary),
    )


def timed(trainer: Any, rows: Any, shape: Any, where: torch.device, profiled: bool) -> dict[str, Any]:
    """Figures of the steps that were done, all of them or those before the case's time was over."""
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            ends.append(clock(where))

    trainer.add_callback(Clock())
    profile = Profile(where)
    if profiled:
        trainer.add_callback(profile.callback())
    cut, began = False, clock(where)
    try:
        trainer.train()
    except TimeoutError:
        cut = True
        if len(ends) <= WARM:
            raise
    counted = ends[WARM - 1 : -1] if profiled and len(ends) == STEPS else ends[WARM - 1 :]
    seconds = [after - before for before, after in pairwise(counted)]
    tokens = sum(len(row["input_ids"]) for row in rows) / STEPS
    speed = tokens / (sum(seconds) / len(seconds))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "seconds_until_step_1": round(ends[0] - began, 1),
        "seconds_of_steps": [round(one, 3) for one in seconds],
        "tokens_per_second": round(speed),
        "mfu": round(speed * flops_per_token(shape) / PEAK_FLOPS["H100"], 3),
        "peak_gib": None if where.type == "cpu" else round(torch.cuda.max_memory_allocated() / 2**30, 1),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        **({"cut": True} if cut else {}),
        **({"last_step": profile.found} if profile.found else {}),
    }


class Profile:
    """Which kernels the GPU's time of the last step goes to; all of the profiler's own time is after that step."""

    def __init__(self, where: torch.device) -> None:
        gpu = where.type == "cuda"
        kinds = torch.profiler.ProfilerActivity
        self._profiler = torch.profiler.profile(activities=[kinds.CUDA if gpu else kinds.CPU])
        self.found: dict[str, Any] = {}

    def callback(self) -> Any:
        from transformers import TrainerCallback

        outer = self

        class Profiled(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == STEPS - 1:
                    outer._profiler.start()

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == STEPS:
                    outer._profiler.stop()
                    outer.found = outer._read()

        return Profiled()

    def _read(self) -> dict[str, Any]:
        events = self._profiler.key_averages()
        kernels = sorted(events, key=lambda event: -event.self_device_time_total)[:12]
        return {
            "gpu_ms": {e.key[:70]: [round(e.self_device_time_total / 1e3, 1), e.count] for e in kernels},
            "gpu_ms_all": round(sum(event.self_device_time_total for event in events) / 1e3, 1),
            "launches": sum(event.count for event in events),
        }


if __name__ == "__main__":
    main()
