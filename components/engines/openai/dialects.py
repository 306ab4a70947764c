"""The words of endpoints, as data: how an answer ended, and what an error means.

From the documentation and the sources of the servers named; each table is extended by a line.
"""

from __future__ import annotations

import re

from components.engines.base import FinishReason

# What OpenAI's own client tries again besides 429 and 5xx, and 425 (too early, RFC 8470).
TRANSIENT_STATUS = frozenset({408, 409, 425})
# A question that OpenAI or Azure will not have answered: HTTP 400.
FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_prompt"})
# OpenAI's words for the end of an answer, and those of Together, TGI, Mistral, Anthropic, Gemini and GLM.
ENDS: dict[str, FinishReason] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    # A tool that nobody offered is no answer, and none the next time either.
    **dict.fromkeys(("tool_calls", "function_call", "tool_use"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("content_filter", "safety", "recitation", "prohibited_content", "blocklist"), "content_filter"),
    **dict.fromkeys(("spii", "sensitive", "refusal"), "content_filter"),
}
# vLLM and SGLang, OpenRouter, DeepSeek: the server gave up half-way, which says nothing about the model.
BROKEN_OFF = frozenset({"abort", "error", "insufficient_system_resource"})

# Parts of a message that are its answer; others are thoughts ("thinking", "reasoning"), tools and pictures.
TEXT_BLOCKS = frozenset({"text", "output_text"})

# A question that does not fit the context. OpenAI, Azure and Groq say so by a code, llama.cpp by its own.
TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"})
TOO_LONG_WORDS = re.compile(
    "|".join(
        (
            r"(maximum|model'?s?|available) (context|model|prompt|input|sequence) (length|size|window)",  # vLLM
            r"(exceed|longer than|greater than|overflow)[\w ]{0,24} context (length|size|window)",  # SGLang, llama.cpp
            r"maximum[\w ]{0,20} context length",  # Mistral, OpenRouter, Fireworks
            r"(prompt|input|request|conversation) is too long",  # Anthropic, Bedrock
            r"`inputs` (tokens \+ `max_new_tokens` must be|must have less than)",  # TGI, Together
            r"(input|prompt) token count[\w() ]{0,30} exceeds",  # Gemini
            r"too many tokens: ",  # Cohere
            r"reduce the length of the (messages|prompt|input)",  # OpenAI and its kin
        )
    ),
    re.IGNORECASE,
)
# A message of this status is never about a question's length.
NOT_ABOUT_LENGTH = frozenset({401, 403, 404, 429})
