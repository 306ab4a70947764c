"""What became of a wrong prefill: corrected to another option, kept (said again, or by silence), or no option named.

The three call for different remedies, and one accuracy hides them. A model that ends its turn after the prefill has
kept the wrong statement; its answer format is not broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Outcome = Literal["corrected", "kept", "silent", "none"]
OUTCOMES: tuple[Outcome, ...] = ("corrected", "kept", "silent", "none")


def prefill_outcome(output: str, letter: str | None, named: str | None) -> Outcome:
    """What `output`, whose extracted option is `letter`, made of a prefill that names the option `named`.

    corrected: it names another option, right or wrong. kept: it names the same one. silent: it adds no word, so the
    prefill stands as the answer. none: it says something and names no option.
    """
    if letter is not None:
        return "kept" if letter == named else "corrected"
    return "none" if has_words(output) else "silent"


def has_words(output: str) -> bool:
    """Whether an output says anything at all: a letter or a digit."""
    return any(character.isalnum() for character in output)


def count_outcomes(rows: Iterable[tuple[str, Outcome]]) -> list[Mapping[str, Any]]:
    """Flat records, one a model: how many of its prefilled answers became what. `rows` are (model, outcome)."""
    counts: dict[str, Counter[str]] = {}
    for model, outcome in rows:
        counts.setdefault(model, Counter())[outcome] += 1
    return [
        {"model": model, "n": sum(found.values()), **{name: found[name] for name in OUTCOMES}}
        for model, found in counts.items()
    ]
