"""The `biomed-r1` command: lists the verbs, whose modules are imported when they are used."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from components.errors import ReadableError
from components.platform.environment import LOG_FORMAT, LOG_FORMATS, LOG_LEVEL, LOG_LEVELS, quiet_environment

# verb -> (the module beside this one that has it, as VERB_command; one line of help)
VERBS = {
    "run": ("local", "Run the whole pipeline on this machine."),
    "doctor": ("local", "Check everything a run needs and say what is wrong."),
    "up": ("local", "Start the embedded S3 and MLflow servers."),
    "down": ("local", "Stop the embedded servers."),
    "ingest": ("questions", "Read a question set of any accepted shape, write Items."),
    "classify": ("classifier", "Train the reasoning/knowledge classifier on expert labels."),
    "stratify": ("classifier", "Score items: reasoning or knowledge."),
    "openings": ("questions", "Have a model write three prefills (short wrong statements) per question."),
    "curate": ("questions", "Build the decontaminated SFT and RL training mixes."),
    "sft": ("training", "Supervised fine-tuning on a curated mix."),
    "grpo": ("training", "GRPO on a curated mix."),
    "evaluate": ("evaluation", "Ask a model every question, plainly and after prefills."),
    "score": ("evaluation", "Score answers: accuracies, gaps and drops with intervals."),
    "compare": ("evaluation", "The gate: promote the candidate or refuse it, and why."),
    "report": ("evaluation", "Write the HTML report."),
    "label-sample": ("classifier", "Draw questions for two people to label, and read their labels."),
    "list": ("lists", "List shipped recipes and profiles, prompts, or a verb's settings."),
    "schema": ("lists", "Print the JSON Schema of recipes or profiles."),
    "status": ("runs", "Show the embedded servers and the tasks of the latest run."),
    "logs": ("runs", "Print what a task of the latest run wrote."),
    "seal": ("registry", "Show or rotate the sealed questions that the gate decides on."),
    "export": ("questions", "Write lm-evaluation-harness tasks or the published columns."),
    "register": ("registry", "Register a checkpoint as a model version in MLflow."),
    "serve": ("deploy", "Serve a model on this machine."),
    "deploy": ("deploy", "Replace what serves by the champion."),
    "models": ("models", "List the registered versions; which one serves, and which served when."),
    "promote": ("models", "Make a version the champion."),
    "rollback": ("models", "Make the previous version the champion again."),
    "gc": ("models", "List or delete what is no longer needed in the store."),
    "pin": ("recipes", "Pin a recipe's hub models and data sets to their commits."),
    "stage": ("recipes", "Store a recipe's local models and data for a cluster."),
    "compile": ("recipes", "Compile a pipeline to KFP's IR (YAML)."),
    "recipe": ("recipes", "Print a recipe as it takes effect; --explain: why."),
    "submit": ("cluster", "Run a recipe once on a Kubeflow cluster."),
    "watch": ("cluster", "Follow a run on the cluster to its end."),
    "cancel": ("cluster", "Cancel a run on the cluster."),
    "schedule": ("cluster", "Run a recipe on the cluster on a schedule."),
}


# What the system says of a path that cannot be what a command was told it is.
UNUSABLE = (
    errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip


class Verbs(click.Group):
    """A group that imports a verb's module only when the verb is used, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"pipelines.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from components.platform.words import did_you_mean

            ctx.fail(f"No such command {args[0]!r}{did_you_mean(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="biomed-r1", message="biomed-r1 %(version)s")
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    envvar=LOG_LEVEL,
    help="Least important diagnostics to write to stderr.",
)
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default="text",
    show_default=True,
    envvar=LOG_FORMAT,
    help="json: a JSON object a line.",
)
def cli(log_level: str, log_format: str) -> None:
    """Does this medical LLM reason or recall, and is the new checkpoint better?

    Research software: never for clinical decisions.
    """
    # In the environment, because the tasks of a run are processes of their own.
    os.environ |= {LOG_LEVEL: log_level, LOG_FORMAT: log_format}
    from components.platform.logs import configure

    configure()


def main() -> None:
    """Run the command; exit 0 fine, 1 failed, 2 bad input, 3 refused, 4 another was first, 130 and 143 interrupted."""
    try:
        quiet_environment()
        cli.main(standalone_mode=False)
    except ReadableError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except SystemExit as stop:
        if stop.code == 143:
            _tell("terminated")
        raise
    except click.ClickException as error:
        if _in_json():
            _fail(error.format_message(), error.exit_code)
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(f"{error.filename or 'the disk'}: no space left; free some or set BIOMED_R1_HOME", 2)
        if error.filename is None or error.errno not in UNUSABLE:
            raise
        _fail(f"{error.filename}: {error.strerror}; name another file or folder", 2)


def _fail(text: str, code: int) -> NoReturn:
    _tell(text)
    sys.exit(code)


def _tell(text: str) -> None:
    """The message of a command that failed; shown at every log level."""
    if _in_json():
        import logging

        logging.getLogger(__name__).error("%s", text)
    else:
        click.echo(f"biomed-r1: {text}", err=True)


def _in_json() -> bool:
    return os.environ.get(LOG_FORMAT) == "json"
