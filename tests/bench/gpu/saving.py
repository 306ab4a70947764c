"""What a checkpoint costs the GPU: torch's async save from pinned copies against a save that is waited for."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from common import LLAMA_1B, TINY, clock, device, options, random_model, save


def main() -> None:
    args = options(__doc__ or "")
    where = device(args.cpu)
    shape = TINY if args.cpu else LLAMA_1B
    dist.init_process_group("gloo" if args.cpu else "cpu:gloo,cuda:nccl", rank=0, world_size=1, store=dist.HashStore())
    model = random_model(shape, where)
    optimizer = torch.optim.AdamW(model.parameters(), fused=not args.cpu)
    ids = torch.randint(3, shape.vocabulary, (2, 64 if args.cpu else 2048), device=where)

    def step() -> float:
        started = clock(where)
        with torch.autocast(where.type, torch.bfloat16):
            model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return clock(where) - started

    for _ in range(3):
        step()
    alone = sorted(step() for _ in range(5))[2]
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    size = sum(t.numel() * t.element_size() for t in flattened(state))
    folder = Path(tempfile.mkdtemp())
    found: dict[str, Any] = {"bytes": size, "step_seconds": round(alone, 4)}
    started = clock(where)
    dcp.save(state, checkpoint_id=folder / "waited")
    found["waited_seconds"] = round(clock(where) - started, 2)
    shutil.rmtree(folder)
    for number in (1, 2):  # the first pins the host's memory
        found[f"async_{number}"] = asynchronous(state, folder / str(number), step, where)
    print(found, flush=True)
    save(args.json, {"saving": found})
    shutil.rmtree(folder)
    dist.destroy_process_group()


_STAGER: list[Any] = []


def asynchronous(state: Any, folder: Path, step: Any, where: torch.device) -> dict[str, Any]:
    from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

    if not _STAGER:
        pinned = where.type == "cuda"
        options_ = StagingOptions(
            use_pinned_memory=pinned, use_shared_memory=False, use_async_staging=pinned, use_non_blocking_copy=pinned
        )
        _STAGER.append(DefaultStager(options_))
    started = clock(where)
    pending = dcp.async_save(state, checkpoint_id=folder, async_stager=_STAGER[0])
    called = time.perf_counter() - started
    staging = getattr(pending, "staging_completion", None)
    if staging is not None:
        staging.result()
    staged = time.perf_counter() - started
    meanwhile = []
    uploading = getattr(pending, "upload_completion", pending)
    while not uploading.done() and len(meanwhile) < 500:
        meanwhile.append(step())
    uploading.result()
    whole = time.perf_counter() - started
    steps = {
        "steps_meanwhile": len(meanwhile),
        "step_seconds_meanwhile": round(sorted(meanwhile)[len(meanwhile) // 2], 4),
    }
    return {
        "call_seconds": round(called, 3),
        "blocked_seconds": round(staged, 3),
        "whole_seconds": round(whole, 2),
        **(steps if meanwhile else {"steps_meanwhile": 0}),
    }


def flattened(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    values = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for value in values for tensor in flattened(value)]


if __name__ == "__main__":
    main()
