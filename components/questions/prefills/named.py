"""Which option a prefill names: what a model would have to correct."""

from __future__ import annotations

from collections.abc import Mapping

from components.extraction import extract
from components.questions.items import normalise


def named_option(prefill: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that a prefill names, or None.

    Read as an answer would be; where a hesitant sentence declares none, the longest option text in it.
    """
    if letter := extract(prefill, options):
        return letter
    text = f" {normalise(prefill)} "
    words = {letter: normalise(option) for letter, option in options.items()}
    found = [(len(option), letter) for letter, option in words.items() if option and f" {option} " in text]
    return max(found)[1] if found else None
