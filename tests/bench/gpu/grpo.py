"""The two stages, as the verbs `sft` and `grpo` call them, on a small model with random weights: SFT in packs teaches
it to end with an answer line, GRPO goes on from what SFT handed on."""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import SMALL, TINY, clock, device, options, save
from tiny import write_model

from components.platform.tables import write_rows
from components.stages.grpo import GrpoConfig, grpo
from components.stages.sft import SftConfig, sft
from components.training.trainer import import_trl

CPU = "--cpu" in sys.argv
ROWS, LEARNT, STEPS = (512, 60, 8) if not CPU else (32, 4, 2)


def main() -> None:
    args = options(__doc__ or "")
    where = device(args.cpu)
    folder = Path(tempfile.mkdtemp())
    write_model(folder / "model", where, TINY if args.cpu else SMALL)
    rng = random.Random(0)
    write_rows([trace(number, rng) for number in range(ROWS)], folder / "sft.parquet")
    write_rows([question(number) for number in range(64)], folder / "rl.parquet")
    shared: dict[str, Any] = {"bf16": True, "device": "cpu" if args.cpu else "auto", "save_steps": 10**6}
    found: dict[str, Any] = {}

    def learn() -> dict[str, Any]:
        config = SftConfig(
            max_steps=LEARNT, global_batch=64, learning_rate=1e-3, max_length=512, tokens_per_pack=8192, **shared
        )
        return sft(folder / "sft.parquet", str(folder / "model"), config, str(folder / "c-sft"), folder / "sft")

    def reinforce() -> dict[str, Any]:
        config = GrpoConfig(
            max_steps=STEPS,
            prompts_per_step=8,
            num_generations=8,
            max_completion_length=64,
            learning_rate=1e-5,
            evaluation_rows=8,
            evaluation_steps=STEPS // 2,
            rollout_steps=STEPS // 2,
            max_steps_without_spread=None,
            **shared,
        )
        return grpo(folder / "rl.parquet", str(folder / "sft"), config, str(folder / "c-grpo"), folder / "grpo")

    log_probs, pace = seen_log_probs(), {"sft": Pace("SFTTrainer", where), "grpo": Pace("GRPOTrainer", where)}
    for name, stage in (("sft", learn), ("grpo", reinforce)):
        if not args.cpu:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        evidence = stage()
        found[name] = told(evidence, time.perf_counter() - began, args.cpu) | pace[name].read(evidence["steps"])
        print(name, found[name], flush=True)
        save(args.json, {"grpo": found})
    found["log_probs"] = log_probs
    save(args.json, {"grpo": found})


def trace(number: int, rng: random.Random) -> dict[str, Any]:
    return {
        "prompt": json.dumps(asked(number)),
        "opening": "",
        "completion": f"Metal {number % 7}.\nThe answer is {rng.choice('ABCD')}.",
    }


def question(number: int) -> dict[str, Any]:
    """A third of them begin with a wrong statement, as a mix's do."""
    options_ = {"A": "Zinc", "B": "Iron", "C": "Gold", "D": "Lead"}
    opening = "" if number % 3 else "The answer is clearly A, Zinc. "
    return {
        "prompt": json.dumps(asked(number)),
        "options": json.dumps(options_),
        "answer_idx": "BCD"[number % 3],
        "opening": opening,
    }


def asked(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {number}: which metal?\nA. Zinc\nB. Iron\nC. Gold\nD. Lead"}]


def seen_log_probs() -> dict[str, Any]:
    """Filled by GRPO's trainer: the type of its log-probabilities, and how many different values the last batch had."""
    trl = import_trl()
    seen: dict[str, Any] = {}
    inner = trl.GRPOTrainer._get_per_token_logps_and_entropies

    def watched(self: Any, *given: Any, **named: Any) -> Any:
        found = inner(self, *given, **named)
        log_probs = found[0].detach()
        seen.update(dtype=str(log_probs.dtype), values=log_probs.numel(), distinct=log_probs.unique().numel())
        return found

    trl.GRPOTrainer._get_per_token_logps_and_entropies = watched
    return seen


class Pace:
    """Seconds and tokens of a trainer's steps, the first fifth of them (compiling, allocating) left out."""

    def __init__(self, trainer: str, where: torch.device) -> None:
        trl = import_trl()
        self._seen: list[tuple[float, float]] = []
        inner = getattr(trl, trainer).training_step

        def watched(its: Any, *given: Any, **named: Any) -> Any:
            found = inner(its, *given, **named)
            tokens = getattr(its, "_total_train_tokens", None) or its.state.num_input_tokens_seen
            self._seen.append((clock(where), float(tokens)))
            return found

        getattr(trl, trainer).training_step = watched

    def read(self, steps: int) -> dict[str, Any]:
        first = len(self._seen) // 5
        (began, before), (ended, after) = self._seen[first], self._seen[-1]
        passes = (len(self._seen) - 1 - first) / len(self._seen) * steps
        return {
            "seconds_per_step": round((ended - began) / passes, 3),
            "tokens_per_second": round((after - before) / (ended - began)),
        }


def told(evidence: dict[str, Any], seconds: float, cpu: bool) -> dict[str, Any]:
    history = evidence["history"]
    values = {name: [round(record[name], 4) for record in history if name in record] for name in history[-1]}
    kept = ("loss", "grad_norm", "reward", "groups_without_signal", "completion_tokens", "entropy")
    return {
        "seconds_with_loading_and_saving": round(seconds, 1),
        "steps": evidence["steps"],
        "finite": all(math.isfinite(value) for series in values.values() for value in series),
        "moved": evidence["weights_sha256"] != evidence["weights_sha256_start"],
        "peak_gib": None if cpu else round(torch.cuda.max_memory_allocated() / 2**30, 2),
        **{name: values[name][:: max(1, len(values[name]) // 8)] for name in kept if name in values},
    }


if __name__ == "__main__":
    main()
