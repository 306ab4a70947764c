"""`biomed-r1 serve`, `deploy`: a model behind an address, and the champion in the place of the one that serves."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import FILE

if TYPE_CHECKING:
    from components.serving.deploy.machine import Deployment
    from components.serving.deploy.target import Target

LOG = logging.getLogger(__name__)
NAME = "biomed-r1"
PORT = 8000

engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "vllm", "transformers"]),
    default="auto",
    show_default=True,
    help="What serves on this machine; auto: vLLM where it is installed.",
)


@dataclass(frozen=True)
class Where:
    """The options of `deploy` that say what is deployed where."""

    name: str
    target: str
    mode: str
    port: int
    engine: str
    namespace: str
    address: str
    git: str
    git_branch: str
    git_path: str


@click.command("serve")
@click.argument("ref", default=f"registry:{NAME}@champion")
@click.option("--port", default=PORT, show_default=True, help="Port on loopback.")
@engine_option
@click.option("--check", is_flag=True, help="Stop after the smoke test instead of serving until Ctrl-C.")
def serve_command(ref: str, port: int, engine: str, check: bool) -> None:
    """Serve a model on this machine, behind an OpenAI-compatible address, until Ctrl-C.

    REF is any model reference: registry:NAME@ALIAS (default: the champion), s3://..., a folder, package:NAME. Its files
    are fetched and checked, and its answers compared with the record made at `register` where there is one.
    """
    from pipelines.local.serve import served

    with served(ref, port, engine) as server:
        for warning in server.warnings:
            LOG.warning("%s", warning)
        click.echo(f"{ref} answers at {server.url}/v1 (log: {server.log})")
        click.echo(server.curl)
        if not check:
            server.wait()


@click.command("deploy")
@click.option("--name", default=NAME, show_default=True, help="The registered model.")
@click.option(
    "--target",
    type=click.Choice(["local", "kubernetes"]),
    default="local",
    show_default=True,
    help="Two servers on this machine, or two workloads in a cluster.",
)
@click.option(
    "--mode",
    type=click.Choice(["live", "gitops"]),
    default="live",
    show_default=True,
    help="live: change the cluster. gitops: commit to --git, and wait until the cluster follows.",
)
@click.option(
    "--strategy",
    type=click.Choice(["auto", "surge", "replace"]),
    default="auto",
    show_default=True,
    help="surge: the new one beside the old one; replace: the old one stops first; auto: replace without room for two.",
)
@click.option("--follow", is_flag=True, help="Go on: deploy whatever the pointer says from now on.")
@click.option("--port", default=PORT, show_default=True, help="local: the address that users have.")
@engine_option
@click.option("--bake", default=60.0, show_default=True, metavar="S", help="Watch users' answers this long.")
@click.option("--ready", default=1800.0, show_default=True, metavar="S", help="Wait this long for the new version.")
@click.option("--keep-warm", default=1800.0, show_default=True, metavar="S", help="Keep the old one this long.")
@click.option("--namespace", default=NAME, show_default=True, metavar="NS", help="kubernetes: where serving is.")
@click.option(
    "--address",
    default="",
    metavar="URL",
    envvar="BIOMED_R1_SERVING_ADDRESS",
    help="kubernetes: base URL of a colour's Service, with {service} and {namespace} (default: the cluster's name).",
)
@click.option("--git", default="", metavar="URL", help="gitops: the repository that is committed to.")
@click.option("--git-branch", default="main", show_default=True, metavar="NAME", help="gitops: its branch.")
@click.option("--git-path", default="serving", show_default=True, metavar="FOLDER", help="gitops: the folder in it.")
@click.option("--metrics-port", default=0, metavar="PORT", help="With --follow: /metrics for Prometheus on this port.")
@click.option("--down", is_flag=True, help="local: stop what serves, and do nothing else.")
@click.option("--json", "json_file", type=FILE, help="Write the deployment's status here.")
def deploy_command(
    strategy: str,
    follow: bool,
    bake: float,
    ready: float,
    keep_warm: float,
    metrics_port: int,
    down: bool,
    json_file: Path | None,
    **where: Any,
) -> None:
    """Bring what serves to the version that the pointer names: the champion, tested before users reach it.

    The new version starts beside the old one, answers the recorded questions, and takes over; a version that fails is
    rejected and the pointer goes back (exit 1). Killed anywhere, the same command goes on where it was.
    """
    from components.platform.config import write_json
    from components.platform.execution import store_root
    from components.serving.deploy.machine import Deployment, Terms, raise_for
    from pipelines.cli.models import who

    asked = Where(**where)
    place = _target(asked)
    if down:
        click.echo(f"stopped: {', '.join(_down(place)) or 'nothing, none was running'}")
        return
    poll = 0.2 if asked.target == "local" else 5.0
    terms = Terms(strategy, ready=ready, bake=bake, keep_warm=keep_warm, poll=poll)  # type: ignore[arg-type]
    deployment = Deployment(store_root(), asked.name, place, terms, who())
    if follow:
        _follow(deployment, metrics_port)
        return
    status = deployment.run()
    write_json(json_file, status.model_dump(mode="json"))
    raise_for(status)
    click.echo(f"version {status.what.version} serves: {status.what.uri} ({_where(place, status.colour)})")


def _target(asked: Where) -> Target:
    from components.errors import InputError
    from components.serving.deploy.local import LocalTarget

    if asked.target == "local":
        if asked.mode != "live":
            raise InputError("--mode gitops: is for --target kubernetes")
        return LocalTarget(asked.name, asked.port, asked.engine)  # type: ignore[arg-type]
    from components.platform.cluster.api import connect
    from pipelines.cluster.serving.target import ADDRESS, KubernetesTarget

    live = KubernetesTarget(connect(asked.namespace), asked.address or ADDRESS)
    if asked.mode == "live":
        return live
    if not asked.git:
        raise InputError("--mode gitops: name the repository that your GitOps controller follows with --git")
    from components.platform.machine import home
    from components.serving.deploy.gitops import Folder, GitopsTarget

    clone = home() / "gitops" / hashlib.sha256(f"{asked.git} {asked.git_branch}".encode()).hexdigest()[:16]
    return GitopsTarget(live, Folder(asked.git, asked.git_branch, asked.git_path, clone), asked.namespace)


def _down(place: Target) -> list[str]:
    from components.errors import InputError
    from components.serving.deploy.local import LocalTarget

    if not isinstance(place, LocalTarget):
        raise InputError("--down: is for --target local")
    return place.down()


def _where(place: Target, colour: str) -> str:
    return f"{getattr(place, 'url', place.name)}, {colour}"


def _follow(deployment: Deployment, metrics_port: int) -> None:
    """Until SIGTERM or Ctrl-C; a deployment under way goes on at the next start."""
    import signal
    import threading

    from components.serving.deploy import metrics
    from components.serving.deploy.follow import Follower, Look

    # The first look may take as long as a deployment: the port answers before it.
    exporter = metrics.Exporter(metrics_port) if metrics_port else None

    def looked(look: Look) -> None:
        if exporter is not None:
            exporter.tell(metrics.samples(deployment.root, deployment.name, deployment.target, look))

    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        # Whatever is under way goes on at the next start: every step is in the store.
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, end)
    Follower(deployment).run(stop, looked)
