"""`biomed-r1 sft`, `grpo`: train a model on a curated mix, here and now."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.options import FILE, FOLDER, PLACE, Command, GivenConfig, config_options, json_option


def _training_options(mix: str) -> Command:
    def decorate(command: Command) -> Command:
        for option in (
            config_options,
            json_option,
            click.option("--out", type=FOLDER, required=True, help="Folder of the trained model."),
            click.option(
                "--checkpoints",
                type=PLACE,
                required=True,
                help="Store URI or folder for checkpoints; resumed from when it has one.",
            ),
            click.option("--model", required=True, help="Model reference to start from."),
            click.option("--mix", type=FILE, required=True, help=f"{mix} of curate."),
        ):
            command = option(command)
        return command

    return decorate


def _check_checkpoints(uri: str) -> None:
    """Raise InputError where the store will not take checkpoints: hours of training would end at the first."""
    if not uri.startswith("s3://"):
        return
    from components.errors import InputError
    from components.platform.checks.object_store import check_store

    if failed := [f"{found.label}: {found.text}" for found in check_store(uri) if found.level == "failed"]:
        raise InputError(f"--checkpoints {uri}: " + "\n".join(failed))


@click.command("sft")
@_training_options("sft.parquet")
def sft_command(
    mix: Path, model: str, checkpoints: str, out: Path, json_file: Path | None, config: GivenConfig
) -> None:
    """Fine-tune a model on reasoning traces."""
    from components.platform.config import write_json
    from components.platform.folders.outputs import check
    from components.platform.storage.claims import claim_checkpoints
    from components.stages.sft import SftConfig, sft

    settings = config.parse(SftConfig)
    check(out)
    _check_checkpoints(checkpoints)
    claim_checkpoints(checkpoints)
    evidence = sft(mix, model, settings, checkpoints, out)
    write_json(json_file, evidence)
    metrics = evidence["metrics"]
    click.echo(
        f"sft: {evidence['steps']} steps (from {evidence['resumed_from_step']}), loss {metrics['loss_first']:.3f} to "
        f"{metrics['loss_last']:.3f}; model in {out}"
    )


@click.command("grpo")
@_training_options("rl.parquet")
def grpo_command(
    mix: Path, model: str, checkpoints: str, out: Path, json_file: Path | None, config: GivenConfig
) -> None:
    """Train a model by reinforcement on questions (GRPO)."""
    from components.platform.config import write_json
    from components.platform.folders.outputs import check
    from components.platform.storage.claims import claim_checkpoints
    from components.stages.grpo import GrpoConfig, grpo

    settings = config.parse(GrpoConfig)
    check(out)
    _check_checkpoints(checkpoints)
    claim_checkpoints(checkpoints)
    evidence = grpo(mix, model, settings, checkpoints, out)
    write_json(json_file, evidence)
    metrics = evidence["metrics"]
    click.echo(
        f"grpo: {evidence['steps']} steps (from {evidence['resumed_from_step']}), {evidence['completions']} "
        f"completions, reward {metrics['reward_first']:.3f} to {metrics['reward_last']:.3f}; model in {out}"
    )
