"""`biomed-r1 compile`: a recipe on a profile as KFP IR, or as Kubernetes resources for GitOps."""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from pathlib import Path
from typing import Any, Literal

import click

from components.errors import InputError
from pipelines.cli.options import models_option
from pipelines.cluster.staging import local_references
from pipelines.linter import check_graph
from pipelines.settings.evaluation_recipe import AnyRecipe, key_variables, load_any_recipe, pipeline_of
from pipelines.settings.recipe import Profile, load_profile

Format = Literal["ir", "manifest"]
# name -> the function that makes it from a recipe and a profile; imported when asked for, with kfp
PIPELINES = {
    "training": "pipelines.training:training_pipeline",
    "evaluation": "pipelines.evaluation:evaluation_pipeline",
}


@click.command("compile")
@click.option("--pipeline", type=click.Choice(list(PIPELINES)), default="training", show_default=True)
@click.option("--recipe", "recipe_name", default="demo", show_default=True, help="A shipped recipe or a YAML file.")
@click.option("--profile", "profile_name", default="local", show_default=True, help="As --recipe, of profiles.")
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change one value of the recipe.")
@models_option
@click.option(
    "--format",
    "kind",
    type=click.Choice(["ir", "manifest"]),
    default="ir",
    show_default=True,
    help="ir: what KFP takes; manifest: Pipeline and PipelineVersion resources for GitOps.",
)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False), help="The .yaml file to write.")
def command(
    pipeline: str,
    recipe_name: str,
    profile_name: str,
    changes: tuple[str, ...],
    models: str | None,
    kind: Format,
    out: str,
) -> None:
    """Compile a pipeline to KFP's intermediate representation (YAML)."""
    recipe, profile = load_any_recipe(recipe_name, changes, models=models), load_profile(profile_name)
    if pipeline != pipeline_of(recipe):
        raise InputError(f"recipe {recipe.name}: is for --pipeline {pipeline_of(recipe)}, not {pipeline}")
    check(recipe, profile)
    tell(recipe, profile)
    text = compiled(pipeline, recipe, profile, kind)
    Path(out).write_text(text, encoding="utf-8")
    click.echo(f"{pipeline} pipeline of recipe {recipe.name} on profile {profile.name}: {out}", err=True)


def check(recipe: AnyRecipe, profile: Profile) -> None:
    """Raise InputError when a cluster should not get this: images not named, or a hub reference that can move."""
    profile.check_ready()
    if profile.uses_gpus:
        from pipelines.settings.pins import unpinned

        if found := unpinned(recipe):
            raise InputError(
                f"recipe {recipe.name}: {', '.join(found)}: not pinned to a revision, and GPU profiles take nothing "
                f"that can change; where a hub can be reached, run `biomed-r1 pin {recipe.name} -o FILE`; use FILE"
            )


def tell(recipe: AnyRecipe, profile: Profile) -> None:
    """Say on stderr what compiles and will not run as it is: references to this machine, keys that no Secret gives."""
    if not profile.cluster:
        return
    if local := local_references(recipe):
        click.echo(
            f"recipe {recipe.name} names {', '.join(local)}, which no image holds: the run's doctor will refuse that; "
            "`biomed-r1 stage` with this recipe and profile stores them and writes the recipe to compile",
            err=True,
        )
    given = {variable for secret in profile.secrets for variable in secret.keys}
    if missing := [variable for variable in key_variables(recipe) if variable not in given]:
        click.echo(
            f"no Secret of profile {profile.name} gives {', '.join(missing)}: recipe {recipe.name} would ask its "
            "endpoints without a key; a site's profile names the Secret that has it under `secrets`",
            err=True,
        )


def build(pipeline: str, recipe: AnyRecipe, profile: Profile) -> Any:
    """The KFP pipeline of that name."""
    module, _, function = PIPELINES[pipeline].partition(":")
    return getattr(importlib.import_module(module), function)(recipe, profile)


def compiled(pipeline: str, recipe: AnyRecipe, profile: Profile, kind: Format = "ir") -> str:
    """A pipeline as YAML text; the same text for the same recipe, profile and code.

    Raises InputError for a graph that a cluster could not run (pipelines/linter.py).
    """
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        built = build(pipeline, recipe, profile)
        Compiler().compile(built, str(file))
        text = file.read_text(encoding="utf-8")
        check_graph(text, f"recipe {recipe.name}, profile {profile.name}")
        if kind == "ir":
            return text
        _write_manifest(built, f"{built.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", file)
        return file.read_text(encoding="utf-8")


def _write_manifest(built: Any, version: str, file: Path) -> None:
    """Pipeline and PipelineVersion (pipelines.kubeflow.org/v2beta1); kustomize adds the namespace.

    A version cannot be changed in Kubernetes, so its name is that of its content, as `biomed-r1 submit` names it.
    """
    from kfp.compiler import Compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    options = KubernetesManifestOptions(
        pipeline_name=built.name,
        pipeline_version_name=version,
        pipeline_version_display_name=version,
        include_pipeline_manifest=True,
    )
    Compiler().compile(built, str(file), kubernetes_manifest_options=options, kubernetes_manifest_format=True)
