"""The plan of a run: every setting of every task in one document in the store, addressed by its digest.

A cluster stores a task's arguments about eleven times (Workflow, nodes, pods), so a task gets the digest and reads the
document itself. Written before the first stage: by the doctor's task in a cluster, by the runner on one machine.
A stage's key is computed from the stage's own config, so where that config travelled changes no key.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform.config import parse_config
from components.platform.sources import Kind
from components.platform.storage import objects

SCHEMA_VERSION = 1
# Of the document as one argument of the doctor's task; Linux takes 128 KiB, and the driver's quoting adds to it.
MAX_BYTES = 48 * 1024
Config = TypeVar("Config", bound=BaseModel)


class PlannedModel(BaseModel):
    """One model that is evaluated: `evaluate` are the fields that not all models of the run share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    reference: str | None = None  # None: the run makes it
    evaluate: dict[str, Any] = {}


class Plan(BaseModel):
    """All that the tasks of a run are told; `stages` are configs by stage, `tasks` those that owe a receipt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    tags: dict[str, str]
    data: dict[Kind, str]
    stages: dict[str, dict[str, Any]]
    models: tuple[PlannedModel, ...] = ()
    shards: int = 1
    references: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    price_per_gpu_hour: float | None = None
    trainer: dict[str, Any] = {}  # where trainers run (components/training/place.py); no stage's key depends on it

    @property
    def text(self) -> str:
        """The document as YAML in one line: without the quotes of JSON, each of which Argo stores as up to eight."""
        values = self.model_dump(mode="json")
        return yaml.dump(values, Dumper=_OneLine, default_flow_style=True, width=sys.maxsize).strip()

    @property
    def digest(self) -> str:
        """sha256 of the document as canonical JSON, in hexadecimal digits."""
        return hashlib.sha256(_canonical(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the run's parent in MLflow lists as its parameters."""
        models = {m.name: {"model": m.reference or "made by this run", **m.evaluate} for m in self.models}
        return {"data": self.data, **self.stages, "models": models, "shards": self.shards, "trainer": self.trainer}

    def config(self, stage: str, config_class: type[Config]) -> Config:
        """The config of a stage; raises InputError when the plan has none or one of other fields."""
        if stage not in self.stages:
            raise InputError(f"plan {self.digest}: stages: no {stage}, only {', '.join(self.stages)}; compile again")
        return parse_config(config_class, self.stages[stage], f"plan {self.digest}: stages.{stage}")

    def model(self, name: str) -> PlannedModel:
        """The model of that name; raises InputError when the plan has none."""
        found = next((model for model in self.models if model.name == name), None)
        if found is None:
            names = ", ".join(model.name for model in self.models)
            raise InputError(f"plan {self.digest}: models: no {name}, only {names}; compile again")
        return found

    def evaluation(self, name: str, config_class: type[Config]) -> Config:
        """How a model is asked: what all models share, and its own fields."""
        values = {**self.stages.get("evaluate", {}), **self.model(name).evaluate}
        return parse_config(config_class, values, f"plan {self.digest}: models.{name}")


def write(root: str, text: str) -> Plan:
    """Store a plan's document below `root` under its digest and return the plan; raises as `parse` and the store do."""
    plan = parse(text)
    objects.put_json(uri(root, plan.digest), plan.model_dump(mode="json"))
    return plan


def parse(text: str) -> Plan:
    """The plan of a document (YAML); raises InputError naming the field that is wrong."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"plan: not readable as YAML ({' '.join(str(error).split())}); compile again") from None
    if not isinstance(values, dict):
        raise InputError("plan: must be a YAML mapping; compile the pipeline again")
    return parse_config(Plan, values, "plan")


def read(root: str, digest: str) -> Plan:
    """The plan of that digest.

    Raises InputError where there is none, DamagedError for one whose content has another digest, NewerSchemaError.
    """
    where = uri(root, digest)
    values = objects.get_json(where)
    if values is None:
        raise InputError(f"{where}: no such plan; the run's first task writes it: look at its log, then start again")
    if hashlib.sha256(_canonical(values).encode()).hexdigest() != digest:
        raise DamagedError(f"{where}: its content has another digest than its name; delete it and start the run again")
    if values.get("schema_version", 0) > SCHEMA_VERSION:
        raise NewerSchemaError(f"{where}: schema_version {values['schema_version']}: upgrade biomed-r1 to read it")
    return parse_config(Plan, values, where)


def uri(root: str, digest: str) -> str:
    """Where the plan of a digest is, below the store's root."""
    return f"{root.rstrip('/')}/plans/{digest}.json"


def shared(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields that have one value in all of these configs."""
    first, *others = configs.values()
    return {key: value for key, value in first.items() if all(o.get(key, ...) == value for o in others)}


class _OneLine(yaml.SafeDumper):
    """Texts that a line cannot hold as they are get quotes and escapes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = None if text.isascii() and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _text)


def _canonical(values: Any) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
