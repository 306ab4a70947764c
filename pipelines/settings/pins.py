"""Pinning: hub references that can move become references to one commit, where a hub can be reached."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from components.errors import InputError
from components.platform.config import read_yaml
from pipelines.settings.shared import shipped_or_file

# Says at which commit a repository is now, given its name, whether it is a data set, and a revision.
Commit = Callable[[str, bool, str | None], str]
_REFERENCE = re.compile(r"hf:(datasets/)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def unpinned(recipe: BaseModel) -> list[str]:
    """The hub references of a recipe, of either kind, that name no commit, each once, in the recipe's order."""
    return _unpinned(recipe.model_dump(mode="json", by_alias=True))


def pin_recipe(name: str, commit: Commit) -> tuple[str, dict[str, str]]:
    """As `pin_text`, of a shipped recipe or a YAML file; the InputError says that nothing was written."""
    path = shipped_or_file(name, "recipes")
    read_yaml(path)
    try:
        return pin_text(path.read_text(encoding="utf-8"), commit)
    except InputError as error:
        raise InputError(f"recipe {path.name}: nothing was written\n{error}") from None


def pin_reference(reference: str, commit: Commit) -> str:
    """One hub reference at its commit, which one that names a commit already is; raises InputError as `commit`."""
    if not _REFERENCE.fullmatch(reference):
        raise InputError(f"{reference}: write hf:ORG/NAME or hf:datasets/ORG/NAME, with @REVISION if not the newest")
    if _COMMIT.fullmatch(_parts(reference)[2] or ""):
        return reference
    pinned, refused = look_up([reference], commit)
    if refused:
        raise InputError(refused[reference])
    return pinned[reference]


def pin_text(text: str, commit: Commit) -> tuple[str, dict[str, str]]:
    """Recipe YAML with every moving hub reference pinned, comments and layout kept, and {old: new reference}.

    Raises InputError naming every reference that `commit` refused.
    """
    values = yaml.safe_load(text)
    pinned, refused = look_up(_unpinned(values), commit)
    if refused:
        raise InputError("\n".join(refused.values()))
    written = _spliced(text, pinned)
    if yaml.safe_load(written) != replaced(values, pinned):
        raise InputError("a reference is written across lines or inside other text; put each on a line of its own")
    return written, pinned


def look_up(references: Sequence[str], commit: Commit) -> tuple[dict[str, str], dict[str, str]]:
    """{reference: the same at its commit} of what could be looked up, and {reference: why not} of the others."""
    pinned: dict[str, str] = {}
    refused: dict[str, str] = {}
    for reference in references:
        kind, repository, revision = _parts(reference)
        try:
            sha = commit(repository, bool(kind), revision)
        except InputError as error:
            refused[reference] = str(error)
        else:
            pinned[reference] = f"hf:{kind}{repository}@{sha}"
    return pinned, refused


def _parts(reference: str) -> tuple[str, str, str | None]:
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise InputError(f"{reference}: write hf:ORG/NAME or hf:datasets/ORG/NAME, with @REVISION where you know it")
    return found[1] or "", found[2], found[3]


def _unpinned(values: Any) -> list[str]:
    return list(dict.fromkeys(text for text in _texts(values) if text.startswith("hf:") and not _is_pinned(text)))


def _is_pinned(reference: str) -> bool:
    found = _REFERENCE.fullmatch(reference)
    return bool(found and found[3] and _COMMIT.fullmatch(found[3]))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def replaced(value: Any, pinned: Mapping[str, str]) -> Any:
    """A recipe's values with every reference that `pinned` has replaced."""
    if isinstance(value, str):
        return pinned.get(value, value)
    if isinstance(value, Mapping):
        return {key: replaced(inner, pinned) for key, inner in value.items()}
    return [replaced(inner, pinned) for inner in value] if isinstance(value, list) else value


def _spliced(text: str, pinned: Mapping[str, str]) -> str:
    """The YAML text with those references replaced where the parser says that they stand; the rest byte for byte.

    A round trip through a YAML writer would keep comments, too, but move them and indent lists its own way.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    places = {(node.start_mark.index, node.end_mark.index): node.value for node in _scalars(root)}
    done, at = [], 0
    for (start, end), value in sorted(places.items()):
        new = text[start:end].replace(value, pinned.get(value, value))
        done += [text[at:start], new]
        at = end
    return "".join(done) + text[at:]


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            yield from _scalars(inner)
    elif isinstance(node, yaml.MappingNode):
        for _, inner in node.value:
            yield from _scalars(inner)
