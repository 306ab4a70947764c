"""The memory sum of one GPU: what a trainer keeps, what one pass needs, what vLLM takes. Bytes, each term named.

The formulas follow FSDP2 with fp32 master weights, gathered in bf16 and reduced in fp32, AdamW, TRL's fused head (the
logits exist a tile at a time, the head's gradient whole) and gradient checkpointing where the recipe asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.training.memory.shapes import Shape
from components.training.place import TrainerPlace

GIB = 2**30
# What no term below counts: the CUDA context, NCCL's buffers, cuBLAS workspaces.
CONTEXT = 2 * GIB
# Tiles of TRL's fused head (trl/kernels/chunked_logprob.py: TOKEN_CHUNK_SIZE, _CHUNKED_LOGPROB_CHUNK_SIZE).
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
# Of vLLM's share, what neither weights nor KV cache can have: its activations and CUDA graphs.
_VLLM_OWN = 3 * GIB
_ASLEEP = 1 * GIB  # what vLLM keeps while it sleeps
# Values kept of one block while its gradients are computed, per token: of hidden size (norms in fp32 count twice),
# and of the MLP's size (gate, up, their product, its activation, and the gradients of two).
_HIDDEN_KEPT, _MLP_KEPT = 16, 6


@dataclass(frozen=True)
class Work:
    """What of a recipe the sum depends on: tokens that one GPU takes at a time, and how they are trained."""

    stage: Literal["sft", "grpo"]
    tokens: int
    optimizer_bytes: int  # a trained weight's optimizer state: AdamW 8, Adafactor about 0
    checkpointing: bool
    bf16: bool
    lora_rank: int | None = None
    reference_model: bool = False
    vllm: bool = False


@dataclass(frozen=True)
class Term:
    """One line of the sum, in bytes."""

    name: str
    size: float

    def __str__(self) -> str:
        return f"{self.name} {self.size / GIB:.1f}"


def terms(shape: Shape, work: Work, place: TrainerPlace) -> list[Term]:
    """The terms at the worst moment of a step, largest first."""
    full = place.sharding == "full"
    parts = place.processes if full else 1
    width = 2 if work.bf16 else 4
    always = [Term("CUDA context and buffers", CONTEXT)]
    if place.offload == "none":
        always.append(Term("weights, gradients, optimizer", _states(shape, work) / parts))
        if work.reference_model:
            always.append(Term("reference model", 4 * shape.parameters / parts))
    passing = [
        Term("activations", _activations(shape, work, width)),
        Term("logits and gradient of the head", _head(shape, work, width)),
        Term("gathered layers and their gradients", _gathered(shape, work, width) if full else 0),
    ]
    if not work.vllm:
        return _sorted([*always, *passing])
    share = Term("vLLM", place.vllm.memory * (place.gpu_gib or 0) * GIB)
    if not place.vllm.sleep:
        return _sorted([*always, *passing, share])
    training = [*always, *passing, Term("vLLM, asleep", _ASLEEP)]
    return _sorted(max(training, [*always, share], key=total))


def total(found: Sequence[Term]) -> float:
    return sum(term.size for term in found)


def vllm_weights(shape: Shape, place: TrainerPlace) -> Term:
    """What vLLM's share has to hold before there is any KV cache."""
    return Term("vLLM's weights and its own buffers", 2 * shape.parameters / place.vllm.tensor_parallel + _VLLM_OWN)


def _states(shape: Shape, work: Work) -> float:
    """fp32 weights and gradients, and the optimizer's; with LoRA the frozen weights in bf16 and the adapter's."""
    each = 8 + work.optimizer_bytes
    if work.lora_rank is None:
        return each * shape.parameters
    return 2 * shape.parameters + each * shape.lora(work.lora_rank)


def _activations(shape: Shape, work: Work, width: int) -> float:
    inside = _HIDDEN_KEPT * shape.hidden + _MLP_KEPT * shape.intermediate
    kept_blocks = 1 if work.checkpointing else shape.layers
    between = shape.layers * shape.hidden if work.checkpointing else 0
    return width * work.tokens * (kept_blocks * inside + between)


def _head(shape: Shape, work: Work, width: int) -> float:
    tile = width * min(work.tokens, _TILE_TOKENS) * min(shape.vocabulary, _TILE_WORDS)
    hidden = 4 * work.tokens * shape.hidden  # its gradient, accumulated in fp32
    trained = work.lora_rank is None
    return tile + hidden + (4 * shape.vocabulary * shape.hidden if trained else 0)


def _gathered(shape: Shape, work: Work, width: int) -> float:
    """Two blocks gathered, one computing and one on its way, and the embedding and head, which stay for the pass.

    Trained weights also have a gradient before it is reduced, in the gathered width and again in fp32.
    """
    gathered = width * (2 * shape.block + shape.outer)
    if work.lora_rank is not None:
        return gathered
    return gathered + (width + 4) * shape.block + (width + 4) * shape.outer / 2


def _sorted(found: Sequence[Term]) -> list[Term]:
    return sorted((term for term in found if term.size), key=lambda term: -term.size)
