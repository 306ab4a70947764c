"""What recipes and profiles share: strict sections, question sets, YAML files by name or path, JSON for KFP."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.words import near


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Where the questions come from: samples, a folder, s3://... or hf:datasets/ORG/NAME@REVISION."""

    benchmarks: str = "samples"
    train: str = "samples"


# The share of the questions that the gate decides on and that no page quotes (components/questions/seal.py).
SEALED: Any = Field(
    1 / 3, ge=0, lt=1, description="share of the questions that only the gate sees; no page quotes them"
)


def seal_stages(values: Any, stages: Sequence[str]) -> Any:
    """A recipe's values with its `sealed` in each of the stages that quote or decide; their own would disagree."""
    if not isinstance(values, Mapping):
        return values
    share = values.get("sealed", SEALED.default)
    given = {name: values.get(name) or {} for name in stages}
    known = {name: dict(part) for name, part in given.items() if isinstance(part, Mapping)}
    for name, part in known.items():
        if part.get("sealed", share) != share:
            raise ValueError(f"{name}.sealed: {part['sealed']} differs from the recipe's {share}; set `sealed` once")
    return {**values, **{name: {**part, "sealed": share} for name, part in known.items()}}


def shipped_or_file(name: str, kind: Literal["recipes", "profiles"]) -> Path:
    """The YAML file of a shipped recipe or profile, or the file of that path; raises InputError naming the shipped."""
    folder = Path(str(files("pipelines"))) / kind
    if (folder / f"{name}.yaml").is_file():
        return folder / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    shipped = sorted(p.stem for p in folder.glob("*.yaml"))
    raise InputError(
        f"{kind[:-1]} {name!r}: neither a YAML file nor one of the shipped ones ({', '.join(shipped)})"
        f"{near(name, shipped)}"
    )


def as_json(config: BaseModel) -> str:
    """A stage's config as canonical JSON text, the form in which it travels through KFP."""
    values: Any = config.model_dump(mode="json")
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
