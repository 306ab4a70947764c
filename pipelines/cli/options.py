"""The options that several verbs share, most of them those for a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

models_option = click.option(
    "--models", metavar="NAME,NAME", help="Only these of an evaluation recipe's models (default: all)."
)
_CLUSTER = (
    click.option("--host", metavar="URL", help="The KFP API (default: KF_PIPELINES_ENDPOINT, the pod's, kubeconfig)."),
    click.option("--namespace", metavar="NS", help="Your namespace; only where KFP serves several."),
)
_PACKAGE = (
    click.option("--pipeline", type=click.Choice(["training", "evaluation"]), default="training", show_default=True),
    click.option("--recipe", default="demo", show_default=True, help="A shipped recipe or a YAML file."),
    click.option("--profile", default="kind", show_default=True, help="A shipped profile or a YAML file."),
    click.option("--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change one value of the recipe."),
    models_option,
    click.option("--experiment", metavar="NAME", default="biomed-r1", show_default=True, help="KFP experiment."),
    click.option("--service-account", metavar="NAME", help="What the run's pods are (default: KFP's own choice)."),
)
_WAIT = (
    click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop waiting after this long."),
    click.option(
        "--fail-on-refusal",
        is_flag=True,
        help="Exit with code 3 when the gate refuses; reads the receipts in BIOMED_R1_STORE.",
    ),
)


def _all(options: tuple[Command, ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


cluster_options = _all(_CLUSTER)
package_options = _all(_PACKAGE)
wait_options = _all(_WAIT)
