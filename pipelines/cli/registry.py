"""`biomed-r1 register`, `seal`: model versions in MLflow, and the questions that decide about them."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.options import FOLDER, GivenConfig, Named, config_options, folder_of, json_option, replaces_its_own

_READABLE = Named(dir_okay=False, exists=True, path_type=Path)


@click.command("register")
@click.option("--model", required=True, help="The checkpoint's s3:// URI.")
@click.option("--decision", required=True, type=_READABLE, help="decision.json of `compare`.")
@click.option("--scores", required=True, type=_READABLE, help="scores.json of `compare`.")
@click.option("--out", required=True, type=FOLDER, help="Where the model card goes.")
@json_option
@config_options
@replaces_its_own(folder_of("model_card.md"))
def register_command(
    model: str, decision: Path, scores: Path, out: Path, json_file: Path | None, config: GivenConfig
) -> None:
    """Register a checkpoint as a model version in MLflow, with the gate's decision."""
    from components.platform.config import write_json
    from components.stages.register import RegisterConfig, register

    settings = config.parse(RegisterConfig)
    out.mkdir(parents=True, exist_ok=True)
    evidence = register(model, decision, scores, "", {}, settings, out)
    write_json(json_file, evidence)
    click.echo(f"{evidence['name']} version {evidence['version']}: {evidence['source']}")


@click.command("seal")
@click.option("--rotate", is_flag=True, help="Seal another draw of the questions from now on; logged, never undone.")
@click.option("--reason", default="", metavar="TEXT", help="Why; required with --rotate.")
def seal_command(rotate: bool, reason: str) -> None:
    """Show which draw of sealed questions is in force in BIOMED_R1_STORE, or rotate to another one."""
    import getpass

    from components.platform.execution import store_root
    from components.platform.storage.ledger import rotate_seal, seal_number

    root = store_root()
    if rotate:
        number = rotate_seal(root, reason, getpass.getuser())
        click.echo(f"draw {number} of sealed questions is in force; decisions on it start another count of looks")
    else:
        click.echo(f"draw {seal_number(root)} of sealed questions is in force in {root}")
