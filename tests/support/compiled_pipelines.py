"""Compiled pipelines for the tests: what is compiled, once, and read back. Run, it rewrites the golden files."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.training.job.body import name_of, train_job
from components.training.place import TrainerPlace
from pipelines.compile import compiled
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import Profile, load_profile
from pipelines.settings.recipes import load_any_recipe

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# A site's profiles, as docs/operate.md tells an operator to write them.
SITE = {name: str(GOLDEN / f"site-{name}.yaml") for name in ("a100x8", "h100x8", "h100x8x2")}
# pipeline, recipe, profile: what makes sense to run. GPUs for the models that need them, small ones elsewhere.
CASES = [
    ("training", "demo", "local"),
    ("training", "smoke", "kind"),
    ("training", "demo", "kind"),
    ("training", "biomed-r1-8b", "a100x8"),
    ("training", "biomed-r1-8b", "h100x8"),
    ("training", "biomed-r1-32b", "h100x8x2"),
    ("evaluation", "models-demo", "local"),
    ("evaluation", "models-demo", "kind"),
    ("evaluation", "paper-models", "a100x8"),
    ("evaluation", "paper-models", "h100x8"),
]


# recipe, profile: whose TrainJob has a golden file.
TRAIN_JOBS = [("biomed-r1-8b", "h100x8"), ("biomed-r1-32b", "h100x8x2")]


@dataclass(frozen=True)
class Task:
    """A task of a compiled pipeline with its executor and its Kubernetes settings."""

    name: str
    task: dict[str, Any]
    executor: dict[str, Any]
    kubernetes: dict[str, Any]

    @property
    def container(self) -> dict[str, Any]:
        return self.executor["container"]

    @property
    def gpus(self) -> int:
        return int(self.container.get("resources", {}).get("accelerator", {}).get("resourceCount", 0))

    @property
    def environment(self) -> dict[str, str]:
        return {e["name"]: e["value"] for e in self.container.get("env", [])}

    def constant(self, name: str) -> Any:
        """The value of an input that is fixed at compile time."""
        return self.task["inputs"]["parameters"][name]["runtimeValue"]["constant"]


def golden_file(pipeline: str, recipe: str, profile: str) -> Path:
    return GOLDEN / f"{pipeline}-{recipe}-{profile}.yaml"


def train_job_file(recipe: str, profile: str) -> Path:
    return GOLDEN / f"trainjob-{recipe}-{profile}.json"


def train_job_of(recipe: str, profile: str) -> dict[str, Any]:
    """What the task sft of a run would create, from the run's plan."""
    place = TrainerPlace.model_validate(plan_of(load_any_recipe(recipe), site_profile(profile)).trainer)
    place = place.model_copy(
        update={"job": place.job.model_copy(update={"run": "11111111-2222-3333-4444-555555555555"})}
    )
    checkpoints = f"s3://example/biomed-r1/checkpoints/sft/{'0' * 40}"
    environment = {name: f"value of {name}" for name in place.job.environment}
    return train_job(name_of("sft", checkpoints), place, f"{checkpoints}-job/{'1' * 16}", "00000000", environment)


def site_profile(name: str) -> Profile:
    return load_profile(SITE.get(name, name))


@functools.cache
def text_of(pipeline: str, recipe: str, profile: str) -> str:
    """IR, without the refusal of unpinned references: some shipped recipes are not pinned yet."""
    return compiled(load_any_recipe(recipe), site_profile(profile))


def tasks_of(text: str) -> dict[str, Task]:
    """Every container task of a compiled pipeline, in whatever sub-pipeline, by its name."""
    spec, *rest = yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    platform = rest[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if rest else {}
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    found = {}
    for name, task in ((name, task) for dag in dags for name, task in dag["tasks"].items()):
        label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
        if label:
            found[name] = Task(name, task, spec["deploymentSpec"]["executors"][label], platform.get(label, {}))
    return found


if __name__ == "__main__":
    for case in CASES:
        golden_file(*case).write_text(text_of(*case), encoding="utf-8")
        print(golden_file(*case))
    for case in TRAIN_JOBS:
        train_job_file(*case).write_text(json.dumps(train_job_of(*case), indent=1) + "\n", encoding="utf-8")
        print(train_job_file(*case))
