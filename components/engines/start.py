"""The engine for a model reference and a stage's config: an endpoint, or weights loaded here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from components.engines.base import Engine
from components.engines.openai.config import EndpointConfig
from components.errors import InputError
from components.platform.models import check_chat_template, endpoint_name, local_model, weights_digest


class EngineConfig(EndpointConfig):
    """Which engine answers, and how; the inherited fields but `too_long` are read by engine `openai` alone."""

    engine: Literal["auto", "vllm", "transformers", "openai"] = Field(
        "auto", description="auto: openai for openai:NAME, else the one done first by measured speeds"
    )
    dtype: Literal["auto", "bfloat16", "float32"] = Field("auto", description="auto: bfloat16 where hardware has it")
    batch_size: int = Field(64, ge=1, description="answers written together (transformers)")
    chat_template: str | None = Field(
        None, min_length=1, description="Jinja text, for weights whose tokenizer has no chat template; null: its own"
    )
    max_context: int = Field(8192, ge=1, description="tokens of prompt and answer, at most; the model's own if less")


def start_engine(model: str, config: EngineConfig, output_tokens: int) -> tuple[Engine, str]:
    """The engine that answers for `model`, and the digest of the weights it loaded ("" behind an endpoint).

    `output_tokens` is the most that it will write in all, for the choice of engine. Raises InputError for a model and
    an engine that do not go together, and for a model that cannot be had.
    """
    name = endpoint_name(model)
    if name is not None and config.engine in ("auto", "openai"):
        from components.engines.openai.client import OpenAIEngine

        return OpenAIEngine(name, config), ""
    if name is not None or config.engine == "openai":
        raise InputError(
            f"model {model}: engine {config.engine} cannot answer for it; openai:NAME goes with engine openai"
        )
    from components.engines.choice import choose_engine, load_engine, resolve_dtype

    folder = local_model(model)
    check_chat_template(model, folder, config.chat_template)
    chosen = choose_engine(config.engine, folder, output_tokens)
    dtype = resolve_dtype(config.dtype)
    engine: Any = load_engine(chosen, folder, dtype, config.batch_size, config.max_context, config.too_long)
    if config.chat_template:
        engine.tokenizer.chat_template = config.chat_template
    return engine, weights_digest(folder)
