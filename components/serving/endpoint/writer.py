"""One model that writes the tokens of an answer, on transformers' own `generate`: simple, not fast.

Both the record of the smoke test and the endpoint use it, so that the two agree to the token.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.engines.rendering import TooLongError, context_limit, load_tokenizer, render, stop_ids

MAX_CONTEXT = 8192


class Writer:
    """The checkpoint in a folder, loaded; answers one request at a time, whoever asks."""

    def __init__(self, folder: Path, dtype: str) -> None:
        """Load a plain transformers checkpoint; `dtype` is a torch name such as "bfloat16"."""
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig
        from transformers.utils import logging

        self.engine = f"transformers {version('transformers')} {dtype}"
        self.tokenizer = load_tokenizer(folder)
        self.stop = stop_ids(folder, self.tokenizer)
        self.max_context = context_limit(folder, MAX_CONTEXT)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        logging.disable_progress_bar()
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=False
        )
        # The model's own sampling defaults must not leak in.
        model.generation_config = GenerationConfig()
        self.model = model.to(self.device).eval()
        self._lock = threading.Lock()

    def write(
        self,
        messages: Sequence[Mapping[str, str]],
        max_new_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        opening: str | None = None,
    ) -> tuple[int, list[int]]:
        """(prompt tokens, the ids written, an end token included); temperature 0 is greedy.

        The answer goes on after `opening`. Raises TooLongError for a prompt that leaves the model no room for
        `max_new_tokens`.
        """
        import torch
        from transformers import GenerationConfig

        text = render(self.tokenizer, [dict(message) for message in messages], opening)
        ids = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        if len(ids) + max_new_tokens > self.max_context:
            raise TooLongError(
                f"this model's maximum context length is {self.max_context} tokens: {len(ids)} of the prompt and "
                f"{max_new_tokens} new ones exceed it; shorten the messages or lower max_tokens",
                len(ids),
            )
        sampled: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature else {}
        ends = sorted(self.stop)
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0,
            **sampled,
        )
        prompt = torch.tensor([ids], device=self.device)
        with self._lock, torch.inference_mode():
            if temperature and seed is not None:
                torch.manual_seed(seed)
            out = self.model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=config)
        return len(ids), out[0, len(ids) :].tolist()

    def text(self, ids: Sequence[int]) -> str:
        """What the ids say, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
