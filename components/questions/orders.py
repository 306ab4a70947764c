"""A question with its options in another order: which options may move, and which letter is which.

An order is written as the original letters by position: in `CABD` the text of the original C stands at A. Options that
speak of the others (`all of the above`, `both A and B`) stay where they are, and so does whatever follows the first of
them: `above` would mean something else. Letters that such an option names are only exchanged among themselves, so that
`both A and B` stays true to the letter whether it means options or, say, vitamins.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import replace

from components.errors import InputError
from components.extraction import Reading, read
from components.questions.items import Item, normalise

_QUANTITY = r"(?:all|none|any|any one|both|either|neither|some|two|most|each)"
_WHOLE = re.compile(
    rf"(?:(?:can|may) be )?{_QUANTITY}(?: of)?(?: the)?"
    r"(?: (?:above|these|those|them|following|preceding|previous|other|others|rest|ones|options?|choices?|answers?"
    r"|statements?|given|listed|mentioned))*"
    r"(?: (?:is|are|were))?(?: (?:true|false|correct|incorrect|right|wrong|possible|given|equal|same|the same))*"
)
_SIGN = r"\(?(?:[A-Z]|\d)\)?"
_NOUN = r"(?:(?:options?|choices?|answers?|statements?)\s+)?"
_COMBINATION = re.compile(
    r"(?!\d\s*/\s*\d\.?$)"  # a fraction
    rf"(?:(?:(?:[Bb]oth|[Ee]ither|[Nn]either|[Oo]nly|[Aa]ll)\s+)?{_NOUN}{_SIGN}"
    rf"(?:\s*(?:,|&|\+|/|\band\b|\bor\b|\bnor\b|,\s*and\b)\s*{_NOUN}{_SIGN})+"
    r"(?:\s+(?:only|both|are|is|correct|true|right))*\.?"
    r"|(?:[Bb]oth|[Ee]ither|[Nn]either)\s+[A-Z]{2,4}\.?)"
)
# A stem that says `option B` means the letter, which must not move.
_STEM = re.compile(r"\b(?:[Oo]ptions?|[Cc]hoices?|[Aa]nswers?)\s+\(?[A-Z]\b")


def speaks_of_others(text: str) -> bool:
    """Whether an option's text is about the other options: `None of these`, `Both A and B`, `1 and 3 only`."""
    return bool(_WHOLE.fullmatch(normalise(text)) or _COMBINATION.fullmatch(text.strip()))


def movable(item: Item) -> list[list[str]]:
    """The letters that may change places, in sets of two or more; only letters of one set are exchanged."""
    if _STEM.search(item.question):
        return []
    letters = list(item.options)
    first = next((n for n, text in enumerate(item.options.values()) if speaks_of_others(text)), len(letters))
    named = [_named(text, letters) for text in list(item.options.values())[first:]]
    sets: dict[tuple[bool, ...], list[str]] = {}
    for letter in letters[:first]:
        sets.setdefault(tuple(letter in own for own in named), []).append(letter)
    return [found for found in sets.values() if len(found) > 1]


def _named(text: str, letters: list[str]) -> set[str]:
    """Letters that a combination names, by letter or by number."""
    if not _COMBINATION.fullmatch(text.strip()):
        return set()
    signs = "".join(part for part in re.findall(r"\b(?:[A-Z]+|\d)\b", text))
    by_number = {str(n): letter for n, letter in enumerate(letters, start=1)}
    return {by_number.get(sign, sign) for sign in signs}


def other_order(item: Item, seed: int) -> str | None:
    """Another order of the item's options, the same for the same id and seed; None where no two may change places.

    Every option that can move gets another letter.
    """
    sets = movable(item)
    if not sets:
        return None
    rng = random.Random(hashlib.sha256(f"order|{seed}|{item.id}".encode()).digest())
    at = {letter: letter for letter in item.options}
    for own in sets:
        drawn = own[:]
        while any(a == b for a, b in zip(own, drawn, strict=True)):
            rng.shuffle(drawn)
        at.update(zip(own, drawn, strict=True))
    return "".join(at[letter] for letter in item.options)


def check_order(order: str, options: Mapping[str, str], where: str) -> None:
    """Raise InputError for an order that is no permutation of the item's letters."""
    if not isinstance(order, str) or sorted(order) != sorted(options):
        raise InputError(f"{where}: order: {order!r} is no order of the options {', '.join(options)}")


def reordered_options(options: Mapping[str, str], order: str) -> dict[str, str]:
    """The options as they are shown: the same letters by position, their texts in `order`."""
    return {letter: options[original] for letter, original in zip(options, order, strict=True)}


def original_letter(options: Mapping[str, str], order: str, shown: str) -> str:
    """The original letter of the option that was shown as `shown`."""
    return order[list(options).index(shown)]


def shown_letter(options: Mapping[str, str], order: str, original: str) -> str:
    """The letter as which an option was shown."""
    return list(options)[order.index(original)]


def read_in_order(output: str, item: Item, order: str | None = None) -> Reading:
    """What an output chooses of the options as they were shown in `order`; the letter is the original one."""
    if order is None:
        return read(output, item.options)
    reading = read(output, reordered_options(item.options, order))
    if reading.letter is None:
        return reading
    return replace(reading, letter=original_letter(item.options, order, reading.letter))
