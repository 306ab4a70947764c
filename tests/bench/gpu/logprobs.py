"""Log-probabilities under FSDP2: with accelerate's policy they have 8 bits, with ours 24."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from common import LLAMA_1B, TINY, device, options, random_model, save

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


if __name__ == "__main__":
    main()
