"""Every effective field of a recipe with its value and where that comes from: a comment in the recipe, or the reason of
the default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.platform.config import read_yaml
from pipelines.settings.explained.reasons import FREE, PAPER, REASONS
from pipelines.settings.shared import shipped_or_file
from pipelines.settings.training_recipe import TrainingRecipe

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w-]*):(?P<rest>.*)")
_LABELS = ("name", "description")
_COMMENT = re.compile(r"(?:^|\s)#\s*(.*)$")


@dataclass(frozen=True)
class Explained:
    """One field: its path, its value, whether the recipe sets it, and why it is so ("" where nobody says)."""

    path: str
    value: Any
    given: bool
    source: str

    def __str__(self) -> str:
        mark = "" if self.given else "  (default)"
        return (
            f"{self.path} = {json.dumps(self.value, ensure_ascii=False)}{mark}\n    {self.source or 'no reason given'}"
        )


def explained(recipe: TrainingRecipe, name: str, changes: Sequence[str] = ()) -> list[Explained]:
    """The fields of a training recipe, section by section; `name` is the recipe's name or file, whose comments count.

    A default's reason says nothing of another value: one that a recipe sets needs a comment beside it.
    """
    given: dict[str, str] = {}  # what the recipe says of each field that it sets, "" where it says nothing
    for file in _files(name):
        comments = _comments(file.read_text(encoding="utf-8"))
        given |= {key: _said(key, comments) or _section(key, comments) for key, _ in _leaves(read_yaml(file))}
    given |= {change.partition("=")[0]: f"{FREE}set with --set" for change in changes}
    found = []
    for path, value in _leaves(recipe.model_dump(mode="json", by_alias=True)):
        key = next((key for key in (path, *_above(path)) if key in given), None)
        said = "" if key is None or path in _LABELS else given[key]
        usual = key is None or path in _LABELS or _is_default(recipe, path, value)
        found.append(Explained(path, value, key is not None, said or (_default(path) if usual else "")))
    return found


def _files(name: str) -> list[Path]:
    """The recipe's file, after the one that it extends."""
    file = shipped_or_file(name, "recipes")
    base = read_yaml(file).get("extends")
    return [*([shipped_or_file(str(base), "recipes")] if base else []), file]


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _above(path: str) -> list[str]:
    """The mappings that a field stands in, the innermost first."""
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]


def _is_default(recipe: TrainingRecipe, path: str, value: Any) -> bool:
    stage, _, field = path.partition(".")
    fields = type(getattr(recipe, stage, None)).__dict__.get("__pydantic_fields__", {})
    return field in fields and fields[field].default == value


def _said(path: str, comments: Mapping[str, str]) -> str:
    """What the recipe says of a field, or of the mapping below its stage that it stands in."""
    for name in (path, *(name for name in _above(path) if "." in name)):
        if said := comments.get(name):
            return _marked(said)
    return ""


def _marked(said: str) -> str:
    return said if said.startswith((PAPER, FREE)) else FREE + said


def _default(path: str) -> str:
    above = [name for name in _above(path) if "." in name]
    last = path.rpartition(".")[2]
    return next((REASONS[name] for name in (path, *above, f"*.{last}") if name in REASONS), "")


def _section(path: str, comments: Mapping[str, str]) -> str:
    """What the recipe says of a whole stage, for a field that it sets without a word of its own."""
    said = comments.get(path.partition(".")[0], "")
    return _marked(said) if said and "." in path else ""


def _comments(text: str) -> dict[str, str]:
    """The comments of a recipe by field: on its line, or on the lines before it."""
    found: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    before: list[str] = []
    for line in text.splitlines():
        said = _COMMENT.search(line)
        if line.lstrip().startswith("#"):
            before.append(said[1] if said else "")
            continue
        match = _KEY.match(line)
        if match is None:  # an empty line: what was said above it is not about what follows
            before = []
            continue
        indent = len(match["indent"])
        stack = [(depth, key) for depth, key in stack if depth < indent] + [(indent, match["key"])]
        words = [*before, *([said[1]] if said else [])]
        before = []
        if words:
            found[".".join(key for _, key in stack)] = " ".join(" ".join(words).split())
    return found
