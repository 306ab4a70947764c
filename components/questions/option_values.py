"""One row's options and key as values: which forms options are written in, and which of them a key names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.errors import InputError
from components.questions.items import unrepeated

Reading = Literal["label", "text", "index"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# A pair's label and its text.
PAIRS = (
    *(("key", "value"), ("key", "text"), ("aid", "atext"), ("label", "text"), ("label", "value"), ("label", "content")),
    *(("letter", "text"), ("letter", "content"), ("letter", "value"), ("id", "text"), ("id", "value")),
)
_NUMBER = re.compile(r"\s*(-?\d{1,9})(?:\.0+)?\s*")
_SIGN = re.compile(r".*?(\d+|[a-z])")
_LONGEST_LITERAL = 100_000  # characters; longer ones cost the parser too much


@dataclass(frozen=True)
class Option:
    labels: tuple[str, ...]  # what the key may call it, folded; () in a list of texts
    text: Any


def options_of(value: Any, where: str) -> list[Option]:
    if isinstance(value, str):
        value = _literal(value, where)
    if isinstance(value, Mapping):
        names = {folded(name): name for name in value}
        for label, text in PAIRS:
            parts = [value[names[part]] for part in (label, text) if part in names]
            if len(parts) == 2 and all(isinstance(part, list) for part in parts) and len(parts[0]) == len(parts[1]):
                return [Option((folded(a),), b) for a, b in zip(*parts, strict=True)]
        labels = with_signs([folded(label) for label in value])
        return [Option(own, text) for own, text in zip(labels, value.values(), strict=True)]
    if not isinstance(value, list):
        raise InputError(f"{where}: must be a list of options or an object of letter to text; write one of these")
    if any(isinstance(part, Mapping) for part in value):
        return [_pair(part, where) for part in value]
    return [Option((), text) for text in value]


def _pair(value: Any, where: str) -> Option:
    if isinstance(value, Mapping):
        names = {folded(name): name for name in value}
        for label, text in PAIRS:
            if label in names and text in names:
                return Option((folded(value[names[label]]),), value[names[text]])
        if len(value) == 1:
            ((only, text),) = value.items()
            return Option((folded(only),), text)
    known = ", ".join(f"{{{label}, {text}}}" for label, text in PAIRS[:4])
    raise InputError(f"{where}: an option is none of {known} and the like; write an object of letter to text")


def _literal(text: str, where: str) -> Any:
    """JSON, or the same as Python writes it, which is what pandas puts into CSV."""
    try:
        return json.loads(text, object_pairs_hook=unrepeated)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    try:
        if len(text) <= _LONGEST_LITERAL:
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise InputError(f"{where}: not JSON ({reason})")


def with_signs(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Labels of options called `names`: each name, and its letter or number where these run on (option1, option2)."""
    found = [_SIGN.fullmatch(name) for name in names]
    signs = [sign[1] for sign in found if sign]
    for run in (LETTERS.lower(), [str(n) for n in range(1, 27)], [str(n) for n in range(26)]):
        if signs == list(run[: len(names)]):
            return [(name, sign) if name != sign else (sign,) for name, sign in zip(names, signs, strict=True)]
    return [(name,) for name in names]


def readings(value: Any, options: Sequence[Option], is_index: bool) -> dict[Reading, list[int]]:
    """What a key may be, and for each the places that it names (for an index: it, as it stands).

    `is_index`: its column is called after an index or a letter, and holds no text where anything else fits.
    """
    number = number_of(value)
    label, text = labelled(value, options), texted(value, options)
    sure = is_index or not isinstance(value, str)
    if sure and (label or number is not None):
        return {"label": label} if label else {"index": [number or 0]}
    found: dict[Reading, list[int]] = {"label": label, "text": text}
    if number is not None and not label and (0 <= number <= len(options) or not text):
        found["index"] = [number]
    return {reading: places for reading, places in found.items() if places}


def named(value: Any, options: Sequence[Option]) -> list[int]:
    """Places of the options that a value names by label, by letter or by text."""
    return sorted({*labelled(value, options), *texted(value, options)})


def texted(value: Any, options: Sequence[Option]) -> list[int]:
    """Places of the options whose text a value is."""
    text = value.strip() if isinstance(value, str) else ""
    return [n for n, option in enumerate(options) if text and str(option.text).strip() == text]


def labelled(value: Any, options: Sequence[Option]) -> list[int]:
    """Places of the options that a value names by their own label, or by letter where that is another."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return []
    number = number_of(value)
    label = str(number) if number is not None else folded(re.sub(r"^\s*\(?(\w+)\s*[.):]?\s*$", r"\1", str(value)))
    found = [n for n, option in enumerate(options) if label in option.labels]
    if not found and len(label) == 1 and label in LETTERS.lower():
        place = LETTERS.lower().index(label)
        own = all(o.labels and re.fullmatch("[a-z]", o.labels[-1]) for o in options)
        found = [place] if place < len(options) and not own else []
    return found


def number_of(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    found = _NUMBER.fullmatch(str(value))
    return int(found[1]) if found else None


def folded(name: Any) -> str:
    return re.sub(r"[\s\-]+", "_", str(name).strip().casefold())
