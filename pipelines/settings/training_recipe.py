"""Training recipes: the whole run from question sets to a registered model, composed of the stages' own configs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from components.errors import InputError
from components.platform.config import parse_config, read_yaml, set_path
from components.serving.promote import Promotion
from components.stages.await_deployment import AwaitConfig
from components.stages.classify import ClassifyConfig
from components.stages.compare import CompareConfig
from components.stages.curate import CurateConfig
from components.stages.evaluate import EvaluateConfig, Settings
from components.stages.grpo import GrpoConfig
from components.stages.ingest import IngestConfig
from components.stages.promote import PromoteConfig
from components.stages.register import RegisterConfig
from components.stages.report import ReportConfig
from components.stages.sft import SftConfig
from components.stages.stratify import StratifyConfig
from pipelines.settings.shared import SEALED, Data, Section, seal_stages, shipped_or_file


class Asked(Section):
    """Which settings each model is evaluated in; the champion is skipped where the registry has none."""

    base: Settings = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")
    sft: Settings = ("plain",)
    grpo: Settings = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")
    champion: Settings = ("plain", "adversarial_0", "adversarial_1", "adversarial_2")


class Awaited(Section):
    """A deployment that a run waits for after it promoted a version; the deployer is another process."""

    target: str = "kubernetes"
    minutes: float = Field(20, gt=0)


class TrainingRecipe(Section):
    """Everything that decides what a run computes."""

    name: str
    description: str = ""
    base_model: str = Field(description="model reference of the policy that is trained")
    data: Data = Data()
    sealed: float = SEALED
    ingest: IngestConfig = IngestConfig()
    classify: ClassifyConfig
    stratify: StratifyConfig = StratifyConfig()
    curate: CurateConfig
    sft: SftConfig
    grpo: GrpoConfig
    evaluate: EvaluateConfig
    asked: Asked = Asked()
    compare: CompareConfig = CompareConfig()
    report: ReportConfig = ReportConfig()
    register_: RegisterConfig = Field(default=RegisterConfig(), alias="register")
    promotion: Promotion = Field("manual", description="manual: a person signs off; auto: the gate's consent is enough")
    await_deployment: Awaited | None = Field(None, description="wait until the deployer has served what was promoted")

    @model_validator(mode="before")
    @classmethod
    def _seal(cls, values: Any) -> Any:
        return seal_stages(values, ("stratify", "compare", "report"))

    def evaluation(self, model: str) -> EvaluateConfig:
        """The evaluate config of one of base, sft, grpo, champion: the shared one with that model's settings."""
        return self.evaluate.model_copy(update={"settings": getattr(self.asked, model)})

    @property
    def promote(self) -> PromoteConfig:
        return PromoteConfig(name=self.register_.name, promotion=self.promotion)

    @property
    def awaited(self) -> AwaitConfig | None:
        """The config of the stage that waits; None where none does."""
        asked = self.await_deployment
        if asked is None:
            return None
        return AwaitConfig(name=self.register_.name, target=asked.target, minutes=asked.minutes)

    def digest(self) -> str:
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load_training_recipe(name: str, changes: Sequence[str] = (), data: str | None = None) -> TrainingRecipe:
    """A shipped recipe by name or one from a file, with `path=value` changes; raises InputError naming the key."""
    path = shipped_or_file(name, "recipes")
    values = _extended(read_yaml(path), path.name)
    if "models" in values:
        raise InputError(f"recipe {path.name}: lists `models`, so it evaluates and trains nothing; name another")
    if data is not None:
        values["data"] = {"benchmarks": data, "train": data}
    for change in changes:
        set_path(values, change)
    return parse_config(TrainingRecipe, values, f"recipe {path.name}")


def _extended(values: dict[str, Any], where: str) -> dict[str, Any]:
    """`values` on top of the recipe that its key `extends` names, section by section; one level, no chains."""
    base = values.pop("extends", None)
    if base is None:
        return values
    under = read_yaml(shipped_or_file(str(base), "recipes"))
    if "extends" in under:
        raise InputError(f"recipe {where}: extends: {base} extends another recipe itself; name that one")
    for name, value in values.items():
        both = isinstance(under.get(name), dict) and isinstance(value, dict)
        under[name] = {**under[name], **value} if both else value
    return under
