"""The `biomed-r1` command: lists the verbs, each of which lives with its own module and is loaded when used."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from components.errors import ReadableError
from components.platform.environment import quiet_environment

# verb -> (where its click command is, one line of help)
VERBS = {
    "run": ("pipelines.local.run:command", "Run the whole pipeline on this machine."),
    "doctor": ("pipelines.local.doctor:command", "Check everything a run needs and say what is wrong."),
    "up": ("pipelines.cli.servers:up_command", "Start the embedded S3 and MLflow servers."),
    "down": ("pipelines.cli.servers:down_command", "Stop the embedded servers."),
    "ingest": ("components.stages.ingest:command", "Read a question set of any accepted shape, write Items."),
    "classify": ("components.stages.classify:command", "Train the reasoning/knowledge classifier on expert labels."),
    "stratify": ("components.stages.stratify:command", "Score items: reasoning or knowledge."),
    "openings": ("components.stages.openings:command", "Have a model write three wrong openings per question."),
    "curate": ("components.stages.curate:command", "Build the decontaminated SFT and RL training mixes."),
    "sft": ("components.stages.sft:command", "Supervised fine-tuning on a curated mix."),
    "grpo": ("components.stages.grpo:command", "GRPO on a curated mix."),
    "evaluate": ("components.stages.evaluate:command", "Ask a model every item, plainly and after wrong openings."),
    "score": ("components.stages.compare:score_command", "Score answers: accuracies, gaps and drops with intervals."),
    "compare": ("components.stages.compare:compare_command", "The gate: promote the candidate or refuse it, and why."),
    "report": ("components.stages.report:command", "Write the HTML report."),
    "export": ("components.stages.export:command", "Write lm-evaluation-harness tasks or the published columns."),
    "register": ("components.stages.register:command", "Register a checkpoint as a model version in MLflow."),
    "pin": ("pipelines.settings.pins:command", "Pin a recipe's hub models and data sets to their commits."),
    "stage": ("pipelines.cluster.staging:command", "Store a recipe's local models and data for a cluster."),
    "compile": ("pipelines.compile:command", "Compile a pipeline to KFP's IR (YAML)."),
    "submit": ("pipelines.cluster.submit:command", "Run a recipe once on a Kubeflow cluster."),
    "watch": ("pipelines.cluster.watch:command", "Follow a run on the cluster to its end."),
    "schedule": ("pipelines.cluster.schedule:command", "Run a recipe on the cluster by the clock."),
}


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is used, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Does this medical LLM reason or recall, and is the new checkpoint better?

    Research software: never for clinical decisions.
    """


def main() -> None:
    """Run the command and exit: 0 fine, 1 failed, 2 bad input, 3 gate refused, 130 and 143 interrupted."""
    quiet_environment()
    try:
        cli.main(standalone_mode=False)
    except ReadableError as error:
        click.echo(f"biomed-r1: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("biomed-r1: interrupted", err=True)
        sys.exit(130)
    except SystemExit as stop:
        if stop.code == 143:
            click.echo("biomed-r1: terminated", err=True)
        raise
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo(
            f"biomed-r1: {error.filename or 'the disk'}: no space left; free some or set BIOMED_R1_HOME", err=True
        )
        sys.exit(2)
