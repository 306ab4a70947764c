"""Evaluation recipes: which models answer which questions, each in its own way, and how they are scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from components.errors import InputError
from components.platform.config import parse_config, read_yaml, set_path
from components.platform.models import ENDPOINT
from components.stages.classify import ClassifyConfig
from components.stages.compare import CompareConfig
from components.stages.evaluate import EvaluateConfig
from components.stages.ingest import IngestConfig
from components.stages.report import ReportConfig
from components.stages.stratify import StratifyConfig
from pipelines.settings.shared import SEALED, Data, Section, seal_stages, shipped_or_file


class EvaluatedModel(Section):
    """One model, and how it is asked: the recipe's shared `evaluate` with this entry's own fields over it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="in answers, scores and receipts")
    model: str = Field(description="model reference; openai:NAME for an endpoint")
    evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _endpoint(self) -> EvaluatedModel:
        if self.model.startswith(ENDPOINT) and self.evaluate.base_url is None:
            raise ValueError(f"{self.name}: evaluate.base_url: missing; {self.model} lives behind an endpoint")
        return self


class EvaluationRecipe(Section):
    """Everything that decides what an evaluation computes."""

    name: str
    description: str = ""
    data: Data = Data()
    sealed: float = SEALED
    ingest: IngestConfig = IngestConfig()
    classifier: str | None = Field(None, description="model reference of a trained classifier")
    classify: ClassifyConfig | None = Field(None, description="train one on the data's expert labels instead")
    stratify: StratifyConfig = StratifyConfig()
    shards: int = Field(1, ge=1, description="parts that each model's questions are answered in, side by side")
    evaluate: dict[str, Any] = Field({}, description="fields of EvaluateConfig that every model shares")
    models: tuple[EvaluatedModel, ...] = Field(min_length=1)
    score: CompareConfig = CompareConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="before")
    @classmethod
    def _share(cls, values: Any) -> Any:
        """Put the shared fields under each model's own, so that an error names the field where it was written."""
        if not isinstance(values, Mapping) or not isinstance(values.get("models"), list | tuple):
            return values
        shared = values.get("evaluate") or {}
        if not isinstance(shared, Mapping):
            return values
        known = {key: value for key, value in shared.items() if key in EvaluateConfig.model_fields}
        return {**values, "models": [_over(known, entry) for entry in values["models"]]}

    @model_validator(mode="before")
    @classmethod
    def _seal(cls, values: Any) -> Any:
        return seal_stages(values, ("stratify", "score", "report"))

    @field_validator("evaluate")
    @classmethod
    def _shared_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(value) - set(EvaluateConfig.model_fields))
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: unknown; check the spelling")
        return value

    @field_validator("models")
    @classmethod
    def _names_once(cls, value: tuple[EvaluatedModel, ...]) -> tuple[EvaluatedModel, ...]:
        names = [entry.name for entry in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: named twice; answers are told apart by name")
        return value

    @model_validator(mode="after")
    def _one_classifier(self) -> EvaluationRecipe:
        if (self.classifier is None) == (self.classify is None):
            raise ValueError("name a `classifier`, or give `classify` to train one; not both")
        return self

    def digest(self) -> str:
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load_evaluation_recipe(name: str, changes: Sequence[str] = (), data: str | None = None) -> EvaluationRecipe:
    """A shipped evaluation recipe by name or one from a file, with `path=value` changes.

    Raises InputError naming the key, and for a training recipe what to do with that.
    """
    path = shipped_or_file(name, "recipes")
    values = read_yaml(path)
    if not is_evaluation(values):
        raise InputError(f"recipe {path.name}: it lists no `models`, as an evaluation recipe such as paper-models does")
    if data is not None:
        values["data"] = {"benchmarks": data, "train": data}
    for change in changes:
        set_path(values, change)
    return parse_config(EvaluationRecipe, values, f"recipe {path.name}")


def is_evaluation(values: Mapping[str, Any]) -> bool:
    """Whether a recipe's values are those of an evaluation: it lists models; a training recipe has a base model."""
    return "models" in values


def _over(shared: Mapping[str, Any], entry: Any) -> Any:
    own = entry.get("evaluate") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(own, Mapping | None):
        return entry
    return {**entry, "evaluate": {**shared, **(own or {})}}
