"""`biomed-r1 compile`, `pin`, `stage`: a recipe made ready for a cluster; `recipe`: what one says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import (
    FILE,
    changes_option,
    models_option,
    pipeline_option,
    recipe_option,
    replaces_its_own,
)

if TYPE_CHECKING:
    from pipelines.compile import Format, Pipeline

LOG = logging.getLogger(__name__)
_out = click.option("-o", "--out", type=FILE, help="The recipe to write [default: standard output].")


@click.command("compile")
@pipeline_option
@recipe_option
@click.option("--profile", default="local", show_default=True, help="A shipped profile or a YAML file.")
@changes_option
@models_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["ir", "manifest"]),
    default="ir",
    show_default=True,
    help="ir: what KFP takes; manifest: Pipeline and PipelineVersion resources for GitOps, which KFP reads only when "
    "its API server runs with --pipelinesStoreKubernetes=true.",
)
@click.option("-o", "--out", required=True, type=FILE, help="The .yaml file to write.")
@replaces_its_own()
def compile_command(
    pipeline: Pipeline | None,
    recipe: str,
    profile: str,
    changes: tuple[str, ...],
    models: str | None,
    kind: Format,
    out: Path,
) -> None:
    """Compile the pipeline that a recipe is for to KFP's intermediate representation (YAML)."""
    from pipelines.compile import check, check_pipeline, compiled, tell
    from pipelines.settings.profile import load_profile
    from pipelines.settings.recipes import load_any_recipe, pipeline_of

    values, place = load_any_recipe(recipe, changes, models=models), load_profile(profile)
    check_pipeline(pipeline, values)
    check(values, place)
    tell(values, place)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(compiled(values, place, kind), encoding="utf-8")
    LOG.info("%s pipeline of recipe %s on profile %s: %s", pipeline_of(values), values.name, place.name, out)


@click.command("pin")
@click.argument("recipe", metavar="RECIPE|REFERENCE")
@_out
@replaces_its_own()
def pin_command(recipe: str, out: Path | None) -> None:
    """Pin every hub model and data set of RECIPE (a shipped one or a YAML file) to the commit it is at now.

    A reference (hf:ORG/NAME or hf:datasets/ORG/NAME) in place of a recipe is pinned and printed.
    """
    from components.platform.models import hub_commit
    from pipelines.settings.pins import pin_recipe, pin_reference

    if recipe.startswith("hf:"):
        _write(pin_reference(recipe, hub_commit) + "\n", out)
        return
    text, pinned = pin_recipe(recipe, hub_commit)
    _write(text, out)
    for old, new in pinned.items():
        LOG.info("%s is now %s", old, new.rpartition("@")[2])
    LOG.info("%d pinned%s", len(pinned), f": {out}" if out else "")


@click.command("stage")
@click.argument("recipe")
@click.option("--profile", default="kind", show_default=True, help="Whose store: a name or YAML file.")
@_out
@replaces_its_own()
def stage_command(recipe: str, profile: str, out: Path | None) -> None:
    """Store what RECIPE takes from this machine in a profile's store; write the recipe that names it there."""
    from pipelines.settings.profile import load_profile
    from pipelines.settings.recipes import load_any_recipe
    from pipelines.staging import local_references, recipe_text, staged_for

    values = load_any_recipe(recipe)
    _write(recipe_text(staged_for(values, load_profile(profile))), out)
    LOG.info("%d stored%s", len(local_references(values)), f": {out}" if out else "")


@click.command("recipe")
@click.argument("name")
@changes_option
@click.option("--explain", is_flag=True, help="Every effective field of a training recipe, with its source.")
def recipe_command(name: str, changes: tuple[str, ...], explain: bool) -> None:
    """Print a recipe as it takes effect: NAME (a shipped one or a YAML file) with every default filled in."""
    import yaml

    from components.errors import InputError
    from pipelines.settings.explained.explain import explained
    from pipelines.settings.recipes import load_any_recipe
    from pipelines.settings.training_recipe import TrainingRecipe

    values = load_any_recipe(name, changes)
    if not explain:
        click.echo(yaml.safe_dump(values.model_dump(mode="json", by_alias=True), sort_keys=False), nl=False)
        return
    if not isinstance(values, TrainingRecipe):
        raise InputError(f"--explain: recipe {values.name} trains nothing; leave it out to see its values")
    for field in explained(values, name, changes):
        click.echo(str(field))


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
