"""Peak memory of one GPU of 8 or 16, measured on one card: torch's fake process group runs rank 0 alone.

Its collectives move nothing, so times and losses mean nothing; what is allocated is what a real rank would allocate.
"""

from __future__ import annotations

import gc
from typing import Any

import torch
import torch.distributed as dist
from common import LLAMA_8B, QWEN_32B, TINY, clock, config_of, device, options, save

from components.training.lora import Lora, add_adapter
from components.training.memory.shapes import Shape
from components.training.memory.terms import CONTEXT, GIB, Work, terms, total
from components.training.place import TrainerPlace
from components.training.sharding import precision


def main() -> None:
    args = options(__doc__ or "")
    cases = [
        ("8B whole, 8 GPUs, 1 x 8192", LLAMA_8B, 8, (1, 8192), None),
        ("8B whole, 8 GPUs, 2 x 8192", LLAMA_8B, 8, (2, 8192), None),
        ("8B whole, 8 GPUs, 2 x 4096", LLAMA_8B, 8, (2, 4096), None),
        ("32B whole, 16 GPUs, 1 x 8192", QWEN_32B, 16, (1, 8192), None),
        ("32B whole, 16 GPUs, 1 x 4096", QWEN_32B, 16, (1, 4096), None),
        ("32B LoRA 64, 8 GPUs, 1 x 8192", QWEN_32B, 8, (1, 8192), 64),
    ]
    if args.cpu:
        cases = [("tiny", TINY, 8, (2, 64), None), ("tiny LoRA", TINY, 8, (1, 64), 4)]
    found: list[dict[str, Any]] = []
    for name, shape, processes, batch, rank in cases:
        try:
            found.append({"case": name, **measured(shape, processes, batch, rank, args.cpu)})
        except Exception as error:
            found.append({"case": name, "error": f"{type(error).__name__}: {str(error)[:300]}"})
        gc.collect()
        if not args.cpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        print(found[-1], flush=True)
        save(args.json, {"memory": found})


def measured(shape: Shape, processes: int, batch: tuple[int, int], rank: int | None, cpu: bool) -> dict[str, Any]:
    """Two optimizer steps of rank 0 on (rows, tokens of each): the second has the optimizer's state."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    where = device(cpu)
    dist.init_process_group("fake", rank=0, world_size=processes, store=FakeStore())
    try:
        model = sharded(shape, processes, where, rank)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=not cpu)
        ids = torch.randint(3, shape.vocabulary, batch, device=where)
        started = clock(where)
        for _ in range(2):
            loss = model(input_ids=ids, labels=ids.clone(), fused_lm_head=True).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds = clock(where) - started
        held = None if cpu else torch.cuda.memory_allocated()
        peak = None if cpu else torch.cuda.max_memory_allocated()
        reserved = None if cpu else torch.cuda.max_memory_reserved()
        del model, optimizer, loss
    finally:
        dist.destroy_process_group()
    gpus = 8 if processes % 8 == 0 else processes
    place = TrainerPlace(nodes=processes // gpus, gpus=gpus, launch="trainjob", sharding="full")
    tokens = batch[0] * batch[1]
    expected = terms(shape, Work("sft", tokens, 8, True, True, lora_rank=rank), place)
    return {
        "processes": processes,
        "tokens": tokens,
        "lora_rank": rank,
        "sum_gib": round((total(expected) - CONTEXT) / GIB, 2),
        "peak_gib": peak and round(peak / GIB, 2),
        "reserved_gib": reserved and round(reserved / GIB, 2),
        "held_gib": held and round(held / GIB, 2),
        "terms_gib": {term.name: round(term.size / GIB, 2) for term in expected},
        "seconds_of_two_steps": round(seconds, 2),
    }


def sharded(shape: Shape, processes: int, where: torch.device, rank: int | None) -> Any:
    """As accelerate shards a transformers model: each block, then the rest; memory only for rank 0's part."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    mesh = init_device_mesh(where.type, (processes,))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config_of(shape), dtype=torch.float32)
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
        whole = model if rank is None else add_adapter(model, Lora(rank=rank, alpha=rank), seed=0)
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
    model.train()
    policy = precision(bf16=True)
    for block in model.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(whole, mesh=mesh, mp_policy=policy)
    whole.to_empty(device=where)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.to_local().normal_(0, 0.02)
        for name, buffer in whole.named_buffers():
            buffer.copy_(torch.linspace(1, 1e-4, buffer.numel()).view_as(buffer)) if "freq" in name else buffer.zero_()
    return whole


if __name__ == "__main__":
    main()
