"""`biomed-r1 list`, `schema`: what there is to choose from, with the names and meanings of every setting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

# verb -> the config that its --config and --set take, as module:class
SETTINGS = {
    "ingest": "components.stages.ingest:IngestConfig",
    "classify": "components.classifier.fitting:ClassifyConfig",
    "stratify": "components.stages.stratify:StratifyConfig",
    "openings": "components.stages.openings:OpeningsConfig",
    "curate": "components.stages.curate:CurateConfig",
    "sft": "components.stages.sft:SftConfig",
    "grpo": "components.stages.grpo:GrpoConfig",
    "evaluate": "components.stages.evaluate:EvaluateConfig",
    "score": "components.stages.compare:CompareConfig",
    "compare": "components.stages.compare:CompareConfig",
    "report": "components.stages.report:ReportConfig",
    "label-sample": "components.stages.label_sample:LabelSampleConfig",
    "export": "components.stages.export:ExportConfig",
    "register": "components.stages.register:RegisterConfig",
}


@click.command("list")
@click.argument("what", type=click.Choice(["recipes", "profiles", "prompts", "settings"]))
@click.argument("verb", required=False)
def list_command(what: str, verb: str | None) -> None:
    """List shipped recipes or profiles, prompt styles, or the settings of a VERB.

    A setting is set by `--set NAME=VALUE`, in a file for `--config`, or in a recipe's section of that name.
    """
    from components.platform.screen.tables import Column, Screen

    if verb is not None and what != "settings":
        raise click.UsageError(f"list {what} takes no further name")
    if what == "settings":
        lines = _settings(verb) if verb else iter(f"{name}\tbiomed-r1 list settings {name}" for name in SETTINGS)
    else:
        lines = _prompts() if what == "prompts" else _shipped(what)
    rows = [line.split("\t") for line in lines]
    longest = max(map(len, rows), default=0)
    # The meaning stands last.
    head = [Column("", words=longest > 1 and place == longest - 1) for place in range(longest)]
    Screen().table("", head, [[*row, *[""] * (longest - len(row))] for row in rows])


@click.command("schema")
@click.argument("what", type=click.Choice(["recipe", "evaluation-recipe", "profile"]))
def schema_command(what: str) -> None:
    """Print the JSON Schema of recipes (training), evaluation recipes or profiles: editors complete YAML by it."""
    from pipelines.settings.evaluation_recipe import EvaluationRecipe
    from pipelines.settings.profile import Profile
    from pipelines.settings.training_recipe import TrainingRecipe

    models: dict[str, type[BaseModel]] = {
        "recipe": TrainingRecipe,
        "evaluation-recipe": EvaluationRecipe,
        "profile": Profile,
    }
    schema = models[what].model_json_schema(by_alias=True)
    # Read before the rest is validated, so no field of the models.
    schema["properties"]["extends"] = {"type": "string", "description": f"a shipped {what} or file to start from"}
    click.echo(json.dumps(schema, indent=1))


def _shipped(what: str) -> Iterator[str]:
    from importlib.resources import files
    from pathlib import Path

    from components.platform.config import read_yaml

    for path in sorted((Path(str(files("pipelines"))) / what).glob("*.yaml"), key=lambda path: path.stem):
        yield f"{path.stem}\t{read_yaml(path).get('description', '')}"


def _prompts() -> Iterator[str]:
    from components.questions.prompts import PROMPTS, prompt_version

    for style in PROMPTS:
        yield f"{style}\tversion {prompt_version(style)}"


def _settings(verb: str) -> Iterator[str]:
    """Name, default and meaning of every setting of a verb, a line each; raises UsageError for another verb."""
    import importlib

    from components.platform.words import did_you_mean

    if verb not in SETTINGS:
        raise click.UsageError(f"{verb!r} has no settings{did_you_mean(verb, SETTINGS)}")
    module, _, name = SETTINGS[verb].partition(":")
    config: type[BaseModel] = getattr(importlib.import_module(module), name)
    for field, info in config.model_fields.items():
        default = "required" if info.is_required() else f"{info.get_default(call_default_factory=True)!r}"
        yield f"{field}\t{default}\t{info.description or ''}".rstrip()
