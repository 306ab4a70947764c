"""What recipes and profiles share: strict sections, question sets, YAML files by name or path, JSON for KFP."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from components.errors import InputError


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Where the questions come from: samples, a folder, s3://... or hf:datasets/ORG/NAME@REVISION."""

    benchmarks: str = "samples"
    train: str = "samples"


def shipped_or_file(name: str, kind: Literal["recipes", "profiles"]) -> Path:
    """The YAML file of a shipped recipe or profile, or the file of that path; raises InputError naming the shipped."""
    folder = Path(str(files("pipelines"))) / kind
    if (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    shipped = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise InputError(f"{kind[:-1]} {name!r}: neither a YAML file nor one of the shipped ones ({shipped})")


def as_json(config: BaseModel) -> str:
    """A stage's config as canonical JSON text, the form in which it travels through KFP."""
    values: Any = config.model_dump(mode="json")
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
