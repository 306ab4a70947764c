"""Answers in JSON: decoded where it is valid, its fields looked for where it is broken or cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.extraction import tables

_RANK = {name: rank for rank, names in enumerate(tables.FIELDS) for name in names}
_NO_NAME = re.compile(r"[^\w]|_")
# A field of broken JSON: its name, and a value in quotes (perhaps never closed), a bare letter, or a list.
_FIELD = re.compile(
    r"(?P<q>\\?[\"']?)(?P<name>[^\W\d][\w -]{1,30}?)(?P=q)\s*:\s*"
    r"(?:\\?\"(?P<double>(?:[^\"\\\n]|\\.){0,2000})(?:\\?\"|$|\n)|'(?P<single>[^'\n]{0,2000})(?:'|$|\n)|\["
    r"(?P<list>[^\[\]\n]{0,300})\]"
    r"|(?P<bare>[A-Za-z])(?=\s*[,}\n]|\s*$))"
)
_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,6})? ?%?")
SHARES = 9  # the rank of a map of shares: any named answer comes before it
_MAX_BLOCKS = 40


@dataclass(frozen=True)
class Field:
    """Strings under a field that names the answer, and the part of the output that held them."""

    values: tuple[str, ...]
    start: int
    end: int
    rank: int


def fields(text: str) -> list[Field]:
    """What the JSON objects in `text` give as answer, one Field for each object that gives one."""
    found: list[Field] = []
    if ":" not in text or ("{" not in text and '"' not in text):
        return found
    pos, blocks, decoder = text.find("{"), 0, json.JSONDecoder(strict=False)
    broken_from = 0
    while pos >= 0 and blocks < _MAX_BLOCKS:
        blocks += 1
        value, end = _decoded(text, pos, decoder)
        if value is not None:
            answers = list(_answers(value))
            if answers:
                found.append(_best(answers, pos, end))
            pos = text.find("{", end)
            broken_from = end
        else:
            stop = _next_block(text, pos + 1)
            found.extend(_broken(text, pos, stop))
            pos = text.find("{", max(stop, pos + 1))
            broken_from = stop
    if not found and broken_from == 0 and re.search(r"^\s*\"[\w ]+\"\s*:", text):
        found.extend(_broken(text, 0, len(text)))
    return found


def _next_block(text: str, pos: int) -> int:
    """Where the next object seems to begin: a brace at the start of a line, or after a closed one."""
    follow = re.compile(r"\}\s*(?:```)?\s*(?:json)?\s*\{|\n\s*\{").search(text, pos)
    return follow.end() - 1 if follow else len(text)


def _decoded(text: str, pos: int, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """(value, end) of the object at `pos`; (None, pos) where it is not valid or nested too deeply."""
    if not re.compile(r"\{\s*[\"}]").match(text, pos):
        return None, pos
    try:
        value, end = decoder.raw_decode(text, pos)
    except (ValueError, RecursionError):
        return None, pos
    return (value, end) if isinstance(value, dict) and value else (None, pos)


def _answers(value: Any, depth: int = 0) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(rank, strings) of every answer field in `value`, also inside other fields."""
    if depth > 8:
        return
    if isinstance(value, list):
        for part in value[:50]:
            yield from _answers(part, depth + 1)
    if not isinstance(value, dict):
        return
    if likeliest := _likeliest(value):
        yield SHARES, (likeliest,)
        return
    for name, inner in list(value.items())[:200]:
        rank = _RANK.get(_name(str(name)))
        if rank is not None and (strings := _strings(inner)):
            yield rank, strings
        elif isinstance(inner, str) and _name(str(name)) in ("arguments", "parameters", "input"):
            try:
                yield from _answers(json.loads(inner), depth + 1)
            except (ValueError, RecursionError):
                continue
        elif isinstance(inner, dict | list) and _name(str(name)) not in ("options", "choices"):
            yield from _answers(inner, depth + 1)


def _likeliest(value: dict[Any, Any]) -> str | None:
    """The letter with the highest share in {"A": 0.1, "B": 0.9} (or per cent), if the shares make a whole."""
    if len(value) < 2 or not all(isinstance(name, str) and len(name) == 1 and name.isalpha() for name in value):
        return None
    shares = [_share(part) for part in value.values()]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares) or not any(abs(sum(known) - whole) <= 0.02 * whole for whole in (1, 100)):
        return None
    best = max(known)
    return str(list(value)[known.index(best)]) if known.count(best) == 1 else None


def _share(part: Any) -> float | None:
    if isinstance(part, str) and _PERCENT.fullmatch(part):
        return float(part.rstrip(" %"))
    return float(part) if isinstance(part, int | float) and 0 <= part <= 100 else None  # true is 1


def _strings(value: Any) -> tuple[str, ...]:
    """The strings of an answer: one, those of a list, or a letter and a text in an object."""
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if isinstance(value, bool) or value is None:
        return ()
    if isinstance(value, int | float):
        return (str(value),)
    if isinstance(value, list):
        return tuple(s for part in value[:20] for s in _strings(part))
    if isinstance(value, dict):
        kept = ("letter", "option", "choice", "label", "id", "key", "text", "value", "answer", "name", "content")
        return tuple(s for name, part in value.items() if _name(str(name)) in kept for s in _strings(part))
    return ()


def _best(answers: list[tuple[int, tuple[str, ...]]], start: int, end: int) -> Field:
    rank = min(rank for rank, _ in answers)
    return Field(tuple(s for r, strings in answers if r == rank for s in strings), start, end, rank)


def _broken(text: str, start: int, stop: int) -> list[Field]:
    """The answer fields of an object that is not valid JSON."""
    answers = []
    for found in _FIELD.finditer(text, start, stop):
        rank = _RANK.get(_name(found["name"]))
        if rank is None or not (found["q"] or text[start] == "{"):
            continue
        listed = found["list"]
        if listed is not None:
            strings = tuple(part.strip(" \"'") for part in listed.split(",") if part.strip(" \"'"))
        else:
            strings = (found["double"] or found["single"] or found["bare"] or "",)
        if any(s.strip() for s in strings):
            answers.append((rank, strings))
    return [_best(answers, start, stop)] if answers else []


def _name(name: str) -> str:
    return _NO_NAME.sub("", name).lower()
