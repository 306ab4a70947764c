"""A prefill for the same question with its options in another order: it must name the option by its new letter."""

from __future__ import annotations

import re

from components.questions.items import Item
from components.questions.orders import reordered_options, shown_letter
from components.questions.prefills.rule import judge
from components.questions.prefills.templates import TEMPLATES, filled, inline

# A capital letter by itself, which names an option or is a word.
_CAPITAL = re.compile(r"(?<![\w'’\-])[A-Z](?![\w'’\-])")


def relabelled(prefill: str, item: Item, order: str) -> str | None:
    """`prefill` of `item`, with the letter that its option has in `order`; None where it cannot be rewritten safely.

    A template is written anew. In any other prefill the one capital letter by itself is replaced, or none where it
    names its option by text alone, and the result has to pass the rule for prefills (`judge`) as naming that option.
    """
    for letter, text in item.options.items():
        if f"{letter}, {inline(text)}" not in prefill:
            continue
        for template in TEMPLATES:
            if prefill == filled(template, letter, text):
                return filled(template, shown_letter(item.options, order, letter), text)
    named_letter = judge(prefill, item).letter
    if named_letter is None:
        return None
    wanted = shown_letter(item.options, order, named_letter)
    # Not within the option's own text: hepatitis B names no option.
    texts = [match.span() for match in re.finditer(re.escape(inline(item.options[named_letter])), prefill, re.I)]
    letters = [
        match
        for match in _CAPITAL.finditer(prefill)
        if match[0] in item.options and not any(start <= match.start() < end for start, end in texts)
    ]
    if len(letters) > 1 or (letters and letters[0][0] != named_letter):
        return None
    changed = prefill
    if letters:
        changed = prefill[: letters[0].start()] + wanted + prefill[letters[0].end() :]
    return changed if judge(changed, reordered(item, order)).letter == wanted else None


def reordered(item: Item, order: str) -> Item:
    """The item with options and key in `order`; its prefills are still those of the original order."""
    return item.with_(
        options=reordered_options(item.options, order), answer_idx=shown_letter(item.options, order, item.answer_idx)
    )
