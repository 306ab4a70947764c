"""Prompts as data: how a question is put to a model. A change of text is a change of version."""

from __future__ import annotations

import hashlib
import json
import re
from types import MappingProxyType

from components.errors import InputError
from components.questions.items import Item

# The answer line is one that extraction declares unambiguous; `stepwise` leaves room to reason before it.
PROMPTS = MappingProxyType(
    {
        "direct": (
            "Answer this multiple-choice question about medicine or biology.\n\n{question}\n\n{options}\n\n"
            "Reply with one line: The answer is X. (X is the letter of your choice.)"
        ),
        "stepwise": (
            "Answer this multiple-choice question about medicine or biology.\n\n{question}\n\n{options}\n\n"
            "Think step by step, then end with one line: The answer is X. (X is the letter of your choice.)"
        ),
        # The four below are of the shape that a published model was trained or evaluated with: words of our own, and
        # the answer form, the order and the line breaks of the source. None uses a system message.
        #
        # HuatuoGPT-o1: request, question, `A. text` lines, nothing after them; the answer form of its strict prompt
        # (FreedomIntelligence/HuatuoGPT-o1, evaluation/eval.py). It answers under `## Thinking`, `## Final Response`
        # (its README), which extraction reads.
        "huatuogpt-o1": (
            "Please answer this multiple-choice question, and end your response with the correct option in the form "
            "'The answer is A.'.\n{question}\n{options}"
        ),
        # MedReason-8B is tuned from HuatuoGPT-o1-8B and evaluated with the same strict prompt and one line break more
        # (UCSC-VLAA/MedReason, src/evaluation/eval.py); it ends with `## Final Answer` (src/model_training/SFT.py).
        "medreason": (
            "Please answer this multiple-choice question, and end your response with the correct option in the form "
            "'The answer is A.'.\n{question}\n{options}\n"
        ),
        # m1: question and options first, then this sentence, word for word what it was evaluated with (UCSC-VLAA/m1,
        # exp/250318-eval-medical_llm/template.makefile, suffix_prompt). It answers after a `think` part.
        "m1": "{question}\n{options}\nReturn your final response within \\boxed{}.",
        # BioMed-R1: its cards show the chat template and a bare question, and name no prompt; the answer line is a
        # free choice, and the one that `biomed-r1 sft` and `grpo` train with here.
        "biomed-r1": (
            "{question}\n\n{options}\n\n"
            "Reason through the question, then end with one line: The answer is X. (X is the letter of your choice.)"
        ),
    }
)


def prompt_version(style: str) -> str:
    """`style:hash of its text`, recorded with every answer and part of what the gate compares."""
    return f"{style}:{hashlib.sha256(_template(style).encode()).hexdigest()[:12]}"


def build_messages(item: Item, style: str) -> list[dict[str, str]]:
    """The chat messages that ask `item` in the given style; raises InputError for an unknown style."""
    question = f"{item.context}\n\n{item.question}" if item.context else item.question
    options = "\n".join(f"{letter}. {text}" for letter, text in item.options.items())
    values = {"{question}": question, "{options}": options}
    # One pass over the template: an item's own text may hold braces, and is never a place to fill in.
    content = re.sub(r"\{question\}|\{options\}", lambda place: values[place[0]], _template(style))
    return [{"role": "user", "content": content}]


def messages_json(item: Item, style: str) -> str:
    return json.dumps(build_messages(item, style), ensure_ascii=False)


def _template(style: str) -> str:
    if style not in PROMPTS:
        raise InputError(f"prompt: {style!r} is not one of {', '.join(PROMPTS)}")
    return PROMPTS[style]
