"""Which option an output chose. `extract` gives the letter, `read` the reason, `explain` both in words.

The rules are some hundred regular expressions, a tenth of a second to compile: they are imported by the first text that
is read, not by every command that could read one.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.extraction.reading import EXTRACTION_VERSION, Candidate, Reading

__all__ = [
    "EXTRACTION_VERSION",
    "Candidate",
    "Reading",
    "explain",
    "extract",
    "read",
    "without_tags",
    "without_thought",
]


def extract(output: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that `output` chose, or None; never raises for any text."""
    from components.extraction import engine

    return engine.read(output, options).letter


def read(output: str, options: Mapping[str, str], *, everything: bool = False) -> Reading:
    """What `output` chose and why. `options` is {letter: text}, letters A to Z.

    Kinds too weak to win are not looked for, unless `everything` is asked for; the answer is the same.
    """
    from components.extraction import engine

    return engine.read(output, options, everything=everything)


def explain(output: str, options: Mapping[str, str]) -> str:
    """The candidates of an output and why one won, as readable lines."""
    from components.extraction import engine

    return engine.explain(output, options)


def without_tags(text: str) -> str:
    """`text` without HTML formatting tags; a lone `<B>` with nothing to format stays."""
    from components.extraction import text as texts

    return texts.without_tags(text)


def without_thought(text: str) -> str | None:
    """The text outside closed thoughts; None when a thought is still open at the end."""
    from components.extraction import thoughts

    return thoughts.without_thought(text)
