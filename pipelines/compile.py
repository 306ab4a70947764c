"""`biomed-r1 compile`: a recipe on a profile as KFP IR."""

from __future__ import annotations

import click

from pipelines.settings import load_profile, load_recipe


@click.command("compile")
@click.option("--pipeline", type=click.Choice(["training"]), default="training", show_default=True)
@click.option("--recipe", default="demo", show_default=True)
@click.option("--profile", default="local", show_default=True)
@click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change one value of the recipe.")
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False), help="The .yaml file to write.")
def command(pipeline: str, recipe: str, profile: str, changes: tuple[str, ...], out: str) -> None:
    """Compile a pipeline to KFP's intermediate representation (YAML)."""
    from kfp import compiler

    from pipelines.training import training_pipeline

    built = training_pipeline(load_recipe(recipe, changes), load_profile(profile))
    compiler.Compiler().compile(built, out)
    click.echo(f"{pipeline} pipeline of recipe {recipe} on profile {profile}: {out}")
