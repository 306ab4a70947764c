"""Settings as data: YAML files, `path=value` changes, validated configs, and results as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from components.errors import InputError
from components.platform.words import did_you_mean

Config = TypeVar("Config", bound=BaseModel)


def parse_config(config_class: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """A validated config; raises InputError naming each field that is unknown or wrong."""
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        problems = [
            f"{where}: {'.'.join(str(part) for part in problem['loc'])}: {_plain(problem, config_class)}"
            for problem in error.errors()
        ]
        raise InputError("\n".join(problems)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping (plain tags only); raises InputError naming file and line."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a YAML mapping")
    return value


def set_path(values: dict[str, Any], change: str) -> None:
    """Apply one `a.b.c=value` (the value read as YAML) to nested mappings, in place."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise InputError(f"--set {change}: write PATH=VALUE, for example evaluate.max_new_tokens=128")
    *parents, last = path.split(".")
    for name in parents:
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {change}: {name} is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change}: not readable as YAML ({' '.join(str(error).split())})") from None


def write_json(path: str | Path | None, value: Any) -> None:
    """Write JSON where a `--json FILE` was given; does nothing without one."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(problem: Mapping[str, Any], config_class: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        *parents, name = problem["loc"]
        return f"unknown{did_you_mean(str(name), _fields(config_class, parents))}"
    return f"{problem['msg']} (got {problem.get('input')!r})"


def _fields(config_class: type[BaseModel], parents: Sequence[Any]) -> list[str]:
    """The names that a section knows; [] where it is not a plain section (an entry of a list or a mapping)."""
    for name in parents:
        field = config_class.model_fields.get(str(name))
        inner = field and next((t for t in _types(field.annotation) if issubclass(t, BaseModel)), None)
        if not inner:
            return []
        config_class = inner
    return [field.alias or name for name, field in config_class.model_fields.items()]


def _types(annotation: Any) -> list[type]:
    """The classes of an annotation: of `Section | None` both."""
    return [part for part in (annotation, *get_args(annotation)) if isinstance(part, type)]
