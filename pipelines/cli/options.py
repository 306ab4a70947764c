"""Options that several verbs share: of a stage's config, a recipe with its profile, a cluster, and of waiting."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

Command = Callable[..., Any]
Config = TypeVar("Config", bound="BaseModel")


class Named(click.Path):
    """A path that a person names: `~` is their folder (`--out=~/x` gets no help from a shell), an empty text none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not value.strip():
            if param is None or param.required or param.multiple or param.nargs != 1:
                self.fail("is empty; name a file or a folder, or check the variable that it comes from", param, ctx)
            return None  # as `--json "$UNSET"`
        return super().convert(os.path.expanduser(value), param, ctx)


FILE = Named(dir_okay=False, path_type=Path)
FOLDER = Named(file_okay=False, path_type=Path)
ANY = Named(path_type=Path)
# Of checkpoints: a folder or s3://...
PLACE = Named()

json_option = click.option("--json", "json_file", type=FILE, help="Write the evidence here.")
recipe_option = click.option("--recipe", default="demo", show_default=True, help="A shipped recipe or a YAML file.")
changes_option = click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change one value of the recipe."
)
models_option = click.option(
    "--models", metavar="NAME,NAME", help="Only these of an evaluation recipe's models (default: all)."
)
pipeline_option = click.option(
    "--pipeline",
    type=click.Choice(["training", "evaluation"]),
    help="Stop unless the recipe is for this pipeline (default: take the one that it is for).",
)
# Where a verb's results go, from `--out` and all that was given: the folder, the files' names, and whether the folder
# is for these files alone.
Place = tuple[Path, tuple[str, ...], bool]
_CLUSTER = (
    click.option("--host", metavar="URL", help="The KFP API (default: KF_PIPELINES_ENDPOINT, the pod's, kubeconfig)."),
    click.option("--namespace", metavar="NS", help="Your namespace; only where KFP serves several."),
    click.option(
        "--proxy",
        metavar="URL",
        expose_value=False,
        callback=lambda _context, _option, value: _set_proxy(value),
        help="Proxy before the KFP API (default: HTTPS_PROXY or HTTP_PROXY, unless NO_PROXY names the host).",
    ),
)
_PACKAGE = (
    pipeline_option,
    recipe_option,
    click.option("--profile", default="kind", show_default=True, help="A shipped profile or a YAML file."),
    changes_option,
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


def _set_proxy(value: str | None) -> None:
    if value:
        # As pipelines/cluster/proxies.py calls it; `--help` need not import that.
        os.environ["BIOMED_R1_KFP_PROXY"] = value


@dataclass(frozen=True)
class GivenConfig:
    """What `--config` and `--set` said, before it is known to be right."""

    file: str | None
    changes: tuple[str, ...]

    def parse(self, config_class: type[Config]) -> Config:
        """The stage's config; raises InputError naming each field that is unknown or wrong."""
        from components.platform.config import parse_config, read_yaml, set_path

        values = read_yaml(Path(self.file)) if self.file else {}
        for change in self.changes:
            set_path(values, change)
        return parse_config(config_class, values, self.file or "--set")


def config_options(command: Command) -> Command:
    """Add `--config FILE` and `--set FIELD=VALUE`; the command gets them as `config`, a GivenConfig.

    The config's class is named inside the command, so that `--help` need not import the stage.
    """

    @click.option("--config", "config_file", type=Named(dir_okay=False), help="YAML file of the stage's fields.")
    @click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change one field (repeatable).")
    @functools.wraps(command)
    def with_config(*args: Any, config_file: str | None, changes: tuple[str, ...], **kwargs: Any) -> Any:
        return command(*args, config=GivenConfig(config_file, changes), **kwargs)

    return with_config


def one_file(out: Path, _given: Mapping[str, Any]) -> Place:
    """`--out` is a file; what a JSONL file cannot hold goes into one beside it (platform/tables.py)."""
    return out.parent, (out.name, f"{out.name}.meta.json"), False


def folder_of(*names: str) -> Callable[[Path, Mapping[str, Any]], Place]:
    """`--out` is a folder, in which these files are written."""
    return lambda out, _given: (out, names, True)


def replaces_its_own(
    place: Callable[[Path, Mapping[str, Any]], Place] = one_file,
    first: Callable[[Path, Mapping[str, Any]], object] | None = None,
) -> Callable[[Command], Command]:
    """For a verb with `--out`: add `--overwrite`; without it only files that biomed-r1 wrote are replaced.

    What else is there is refused before the command begins, after `first`, which may have more to say about it.
    """

    def decorate(command: Command) -> Command:
        @click.option("--overwrite", is_flag=True, help="Replace a file at --out that biomed-r1 did not write, too.")
        @functools.wraps(command)
        def checked(*args: Any, out: Path | None, overwrite: bool, **kwargs: Any) -> Any:
            if out is None:
                return command(*args, out=out, **kwargs)
            from components.platform.folders.written import written

            if first is not None:
                first(out, kwargs)
            folder, names, whole = place(Path(os.path.realpath(out)), kwargs)
            if not whole and out.exists() and not out.is_file():
                return command(*args, out=out, **kwargs)  # a device, a pipe
            # A link that leads nowhere yet: its target is made.
            target = Path(os.path.realpath(out)) if out.is_symlink() else out
            with written(folder, names, f"--out {out}", whole, overwrite):
                return command(*args, out=target, **kwargs)

        return checked

    return decorate


def _all(options: tuple[Command, ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


cluster_options = _all(_CLUSTER)
package_options = _all(_PACKAGE)
wait_options = _all(_WAIT)
