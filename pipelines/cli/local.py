"""`biomed-r1 run`, `up`, `down`, `doctor`: a whole run on this machine, and the servers that it uses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import FILE, PLACE, changes_option, models_option, recipe_option

if TYPE_CHECKING:
    from pipelines.settings.recipes import AnyRecipe

LOG = logging.getLogger(__name__)


@click.command("run")
@recipe_option
@click.option("--data", type=PLACE, help="Folder with benchmarks/*.jsonl and train/*.jsonl (default: samples).")
@click.option("--labels", metavar="samples|DIR", help="Where the classifier's labels are [default: in the questions].")
@click.option("--classifier", metavar="REF", help="A trained classifier to use instead of training one.")
@changes_option
@models_option
@click.option(
    "--available",
    "available_only",
    is_flag=True,
    help="Leave out models whose key or weights are missing, and name them; pin the others that are on the hub.",
)
@click.option("--fresh", is_flag=True, help="Ignore stored results: run every stage again.")
@click.option("--dry-run", is_flag=True, help="Check recipe and inputs, list the tasks, and run nothing.")
@click.option("--runner", type=click.Choice(["subprocess", "docker"]), default="subprocess", show_default=True)
@click.option("--fail-on-refusal", is_flag=True, help="Exit with code 3 when the gate refuses.")
@click.option("--json", "json_file", type=FILE, help="Write the run summary here.")
def run_command(
    recipe: str,
    data: str | None,
    labels: str | None,
    classifier: str | None,
    changes: tuple[str, ...],
    models: str | None,
    available_only: bool,
    fresh: bool,
    dry_run: bool,
    runner: str,
    fail_on_refusal: bool,
    json_file: Path | None,
) -> None:
    """Run a recipe's whole pipeline, on this machine: ingest to registered model, or the evaluation of its models."""
    from components.errors import GateRefusedError, InputError
    from components.platform.config import write_json
    from pipelines.local.run import run
    from pipelines.local.summary import print_summary
    from pipelines.settings.available import keep_available, tell_missing_keys
    from pipelines.settings.recipes import load_any_recipe, pipeline_of, strata_changes

    changes = (*strata_changes(recipe, labels, classifier), *changes)
    values = load_any_recipe(recipe, changes, data, models)
    if fail_on_refusal and pipeline_of(values) == "evaluation":
        raise InputError(f"--fail-on-refusal: recipe {values.name} evaluates models and has no gate")
    if available_only:
        values = keep_available(values)
    tell_missing_keys(values)
    if dry_run:
        _tell_plan(values)
        return
    summary = run(values, runner, fresh)
    print_summary(summary)
    write_json(json_file, summary)
    if fail_on_refusal and summary["gate"]["decision"] != "promote":
        raise GateRefusedError("the gate refused the candidate; the reasons are in the report")


def _tell_plan(recipe: AnyRecipe) -> None:
    """The tasks of a run and what it starts from; raises InputError for inputs that are not there."""
    from pipelines.local import doctor
    from pipelines.settings.recipes import model_references, pipeline_of
    from pipelines.settings.tasks import expected

    if not any(ref.startswith(("s3://", "registry:")) for ref in (recipe.data.benchmarks, *model_references(recipe))):
        doctor.check_recipe_inputs(recipe)
    click.echo(f"recipe {recipe.name} ({pipeline_of(recipe)} pipeline); nothing was run")
    click.echo(f"data\tbenchmarks: {recipe.data.benchmarks}, train: {recipe.data.train}")
    click.echo(f"models\t{', '.join(dict.fromkeys(model_references(recipe)))}")
    for task in expected(recipe):
        click.echo(task)


@click.command("up")
@click.option("--print-env", is_flag=True, help="Print `export` lines for a shell, secrets included.")
def up_command(print_env: bool) -> None:
    """Start the embedded S3 and MLflow servers (on loopback) unless they run or others are configured."""
    from pipelines.local import servers

    result = servers.up()
    for name in result.replaced if print_env else ():
        click.echo(f"unset {name}")
    for name, value in result.environment.items():
        if print_env:
            click.echo(f"export {name}='{value}'")
        elif "KEY" not in name:
            click.echo(f"{name}={value}")
    LOG.info("started: %s", ", ".join(result.started) or "nothing, they were up")


@click.command("down")
@click.option("--force", is_flag=True, help="Stop them although a run uses them.")
def down_command(force: bool) -> None:
    """Stop the embedded servers of this folder, or of the nearest one above; their data stays until `make clean`."""
    from components.platform.machine import use_nearest_home
    from pipelines.local import servers

    use_nearest_home()
    click.echo(f"stopped: {', '.join(servers.down(force=force)) or 'nothing, none was running'}")


@click.command("doctor")
@recipe_option
@click.option("--data", type=PLACE, help="Folder with benchmarks/ and train/ instead of the recipe's data.")
@click.option("--profile", help="Check a recipe against this cluster profile instead of this machine.")
@changes_option
@click.option(
    "--json", "json_file", type=FILE, help="Write the findings here: label, level (ok, warning, failed), text."
)
def doctor_command(
    recipe: str, data: str | None, profile: str | None, changes: tuple[str, ...], json_file: Path | None
) -> None:
    """Try everything that a run needs once, and say what is wrong."""
    from components.errors import InputError
    from components.platform.config import write_json
    from components.platform.screen.tables import Screen, columns
    from pipelines.local.doctor import findings, profile_findings
    from pipelines.settings.profile import load_profile
    from pipelines.settings.recipes import load_any_recipe

    told, screen = [], Screen()
    values = load_any_recipe(recipe, changes, data)
    for finding in findings(values) if profile is None else profile_findings(values, load_profile(profile)):
        if screen.plain:
            screen.table("", columns("", "", ""), [(finding.mark, finding.label, finding.text)])
        else:
            screen.say(str(finding))
        told.append(finding)
    failed = [finding for finding in told if finding.level == "failed"]
    write_json(json_file, {"schema_version": 1, "ok": not failed, "checks": [finding.record() for finding in told]})
    if failed:
        raise InputError(f"{len(failed)} of {len(told)} checks failed; see above")
