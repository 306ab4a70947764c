"""Prompts as data: how a question is put to a model. A change of text is a change of version."""

from __future__ import annotations

import hashlib
import json
import re
from types import MappingProxyType

from components.errors import InputError
from components.qa.items import Item

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
