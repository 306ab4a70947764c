"""Numbers: log-probabilities under FSDP2 (with accelerate's policy they have 8 bits, with ours 24), and the loss and
gradient of a pack, computed without a mask and with one, against the same in fp32."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from common import HALF, LLAMA_1B, TINY, device, options, random_model, save

from components.training.attention import attend_within_sequences
from components.training.packing import pack_rows
from components.training.sharding import precision

TOKENS = 384


def main() -> None:
    args = options(__doc__ or "")
    where = device(args.cpu)
    dist.init_process_group("gloo" if args.cpu else "nccl", rank=0, world_size=1, store=dist.HashStore())
    found: dict[str, Any] = {"tokens": TOKENS}
    for name, policy in policies().items():
        log_probs = scored(TINY if args.cpu else LLAMA_1B, where, policy)
        found[name] = {"dtype": str(log_probs.dtype), "distinct": int(log_probs.unique().numel())}
    print(found, flush=True)
    save(args.json, {"log_probs": found})
    packs = packed(TINY if args.cpu else HALF, where)
    print(packs, flush=True)
    save(args.json, {"log_probs": found, "pack": packs})
    dist.destroy_process_group()


def policies() -> dict[str, Any]:
    from torch.distributed.fsdp import MixedPrecisionPolicy

    half = torch.bfloat16
    return {"accelerate": MixedPrecisionPolicy(half, half, half), "ours": precision(bf16=True)}


def scored(shape: Any, where: torch.device, policy: Any) -> torch.Tensor:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from trl.trainer.utils import add_fused_lm_head

    model = random_model(shape, where)
    add_fused_lm_head(model, outputs=("log_probs",))
    mesh = init_device_mesh(where.type, (1,))
    for block in model.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    ids = torch.randint(3, shape.vocabulary, (1, TOKENS + 1), device=where)
    with torch.no_grad():
        return model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs.flatten()


def packed(shape: Any, where: torch.device) -> dict[str, Any]:
    """Relative distances from fp32 with a mask: |loss - ref| / ref, and of all gradients as one vector."""
    rng = torch.Generator().manual_seed(0)
    lengths = [37, 400, 129, 1000] if where.type == "cuda" else [7, 40, 3]
    rows = [{"input_ids": torch.randint(3, shape.vocabulary, (n,), generator=rng).tolist()} for n in lengths]
    batch = pack_rows([{**row, "labels": [-100, *row["input_ids"][1:]]} for row in rows])
    batch = {name: value.to(where) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    model = random_model(shape, where)
    ways: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, half in (("fp32", False), ("masked", True), ("edges", True)):
        if name == "edges" and not attend_within_sequences(model):
            raise RuntimeError("no attention by edges for this model")
        model.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=half):
            loss = model(**batch, use_cache=False).loss
        loss.backward()
        ways[name] = (loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()]))
    loss, gradient = ways.pop("fp32")
    return {
        name: {
            "loss": float((other - loss).abs() / loss),
            "gradient": float((vector - gradient).norm() / gradient.norm()),
        }
        for name, (other, vector) in ways.items()
    }


if __name__ == "__main__":
    main()
