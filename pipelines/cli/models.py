"""`biomed-r1 models`, `promote`, `rollback`, `gc`: which version serves, and what is kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.options import json_option

if TYPE_CHECKING:
    from components.serving.promote import Outcome

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WHY = 90  # characters of a rejection's reason in the list
_name = click.option("--name", metavar="MODEL", help="The registered model [default: biomed-r1].")
_reason = click.option("--reason", default="", metavar="TEXT", help="Why; logged with your name.")
_dry = click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")


class Span(click.ParamType):
    """A time span: 90m, 24h or 30d, not shorter than `least`."""

    name = "span"

    def __init__(self, least: timedelta = timedelta()) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,5})([mhd])", str(value))
        if not match:
            self.fail(f"{value!r}: write 90m, 24h or 30d", param, ctx)
        span = timedelta(**{_UNITS[match[2]]: int(match[1])})
        if span < self.least:
            self.fail(f"{value!r}: at least {self.least.days}d", param, ctx)
        return span


@click.group("models", invoke_without_command=True)
@_name
@click.option("--verify", is_flag=True, help="Read every file of every version and compare it with its manifest.")
@json_option
@click.pass_context
def models_command(context: click.Context, name: str | None, verify: bool, json_file: Path | None) -> None:
    """List the registered versions and what the serving pointer says of each; walk its log.

    If MLflow's alias `champion` names another version than the pointer, it is set to the pointer's.
    """
    from components.platform.tracking.answers import quickly

    context.obj = _model(name)
    context.with_resource(quickly())  # who waits for a list is told in seconds that MLflow does not answer
    if context.invoked_subcommand:
        return
    from components.errors import DamagedError, UnavailableError
    from components.platform.config import write_json
    from components.platform.screen.tables import Screen
    from components.serving.listing import listing

    found = listing(_root(), context.obj, verify)
    write_json(json_file, found.record())
    if not found.unanswered:
        _print_versions(found.rows)
    for text in _pointer_lines(found):
        Screen().say(text)
    if found.problems:
        raise DamagedError("\n".join(found.problems))
    if found.unanswered:
        raise UnavailableError(found.unanswered)


@models_command.command("show")
@click.argument("version")
@click.option("--verify", is_flag=True, help="Read every file and compare it with the manifest.")
@json_option
@click.pass_obj
def show_command(name: str, version: str, verify: bool, json_file: Path | None) -> None:
    """Show one version: tags, what it was made from, why the gate decided so, what happened to it."""
    from components.errors import DamagedError
    from components.platform.config import write_json
    from components.platform.screen.tables import Screen
    from components.serving.listing import show

    found = show(_root(), name, version, verify)
    write_json(json_file, found)
    _print_versions([found])
    say = Screen().say
    say(f"{found['uri']}  digest {found['digest'][:16]}")
    for step in found["lineage"]:
        inputs = ", ".join(f"{part['name']} ({part['digest'][:12]})" for part in step["inputs"])
        code = step["git_revision"][:16]
        say(f"made by {step['stage']} at {step['created']}, code {code}; inputs {inputs or 'none'}")
    for reason in found["reasons"]:
        say(f"gate: {'passed' if reason['passed'] else 'failed'}: {reason['text']}")
    for change in found["history"]:
        say(f"{change['at']} {change['what']} by {change['by']}{_why(change)}")
    if found["problem"]:
        raise DamagedError(found["problem"])


@models_command.command("at")
@click.argument("moment", metavar="TIME")
@json_option
@click.pass_obj
def at_command(name: str, moment: str, json_file: Path | None) -> None:
    """Say which version served at TIME (ISO 8601; UTC unless it says otherwise), by the pointer's log."""
    from components.platform.config import write_json
    from components.serving.listing import at

    found = at(_root(), name, _moment(moment))
    write_json(json_file, found)
    if found["tried"]:
        click.echo(f"version {found['tried']} was promoted by then; its deployment failed before users were sent to it")
    if not found["served"]:
        click.echo(f"{name}: no version served at {found['at']}")
        return
    since, until = found["since"], found["until"]
    ended = f"until {until['at']} ({until['what']} by {until['by']}{_why(until)})" if until else "and serves still"
    click.echo(f"{name}: version {found['served']['version']} served at {found['at']}")
    click.echo(f"since {since['at']} ({since['what']} by {since['by']}{_why(since)}) {ended}")
    click.echo(found["served"]["uri"])


@click.command("promote")
@click.argument("version", required=False)
@_name
@_reason
@click.option(
    "--force", is_flag=True, help="Promote in spite of gate, stale baseline or rejection (never damaged files)."
)
@click.option("--approve", is_flag=True, help="Sign off the version that is proposed, before its soak is over too.")
@click.option("--soak", type=Span(), metavar="SPAN", help="Propose it for so long; the same command then promotes it.")
@_dry
@json_option
def promote_command(
    version: str | None,
    name: str | None,
    reason: str,
    force: bool,
    approve: bool,
    soak: timedelta | None,
    dry_run: bool,
    json_file: Path | None,
) -> None:
    """Make VERSION (default: the one that is proposed) the champion; needs --reason.

    Checked first: every file, the gate's decision, that its baseline is still the champion, earlier rejections.
    Exit 3: refused; 4: somebody else was first; 0: promoted, proposed or the champion already.
    """
    from components.errors import InputError
    from components.platform.tracking.answers import quickly
    from components.serving.promote import Asked, promote

    if not (reason.strip() or dry_run):
        raise InputError("promote: --reason: say why; it is logged as your sign-off")
    asked = Asked(
        by=who(),
        why=reason.strip(),
        promotion="auto",
        soak=soak or timedelta(),
        force=force,
        approve=approve,
        dry_run=dry_run,
    )
    with quickly():
        outcome = promote(_root(), _model(name), version, asked)
    _tell(outcome, json_file)


@click.command("rollback")
@click.option("--to", metavar="VERSION", help="The version to go back to [default: the previous champion].")
@_name
@_reason
@_dry
@json_option
def rollback_command(to: str | None, name: str | None, reason: str, dry_run: bool, json_file: Path | None) -> None:
    """Make the previous version the champion again; the one that is left may not be promoted again.

    A second rollback changes nothing and asks for --to. Exit 3: VERSION was rejected; 4: somebody else was first.
    """
    from components.serving.promote import Asked
    from components.serving.rollback import rollback

    asked = Asked(by=who(), why=reason.strip(), dry_run=dry_run)
    _tell(rollback(_root(), _model(name), to, asked), json_file)


@click.command("gc")
@click.option(
    "--older-than",
    type=Span(least=timedelta(days=1)),  # what a run is writing now has no receipt yet
    default="30d",
    show_default=True,
    metavar="SPAN",
    help="Newer things stay.",
)
@click.option("--delete", "really", is_flag=True, help="Delete; without it nothing is changed.")
@json_option
def gc_command(older_than: timedelta, really: bool, json_file: Path | None) -> None:
    """List what is no longer needed in BIOMED_R1_STORE, by kind and size; with --delete, delete it.

    Kept: what a pointer names, registered versions, what recent and running runs made or used, and the inputs of all
    these. Checkpoints of finished trainings go at any age. Receipts, plans and logs stay.
    """
    from components.platform.config import write_json
    from components.platform.screen.tables import Screen, columns
    from components.platform.tracking.answers import quickly
    from components.serving import collect

    with quickly():
        found = collect.plan(_root(), older_than)
    rows = found.totals()
    doomed = [{"path": d.path, "bytes": d.size, "why": d.why} for d in found.doomed]
    figures = ("delete", "delete size", "keep", "keep size")
    Screen().table(
        "",
        columns("kind", *figures, figures=figures),
        [
            (row["kind"], str(row["delete"]), _size(row["delete_bytes"]), str(row["keep"]), _size(row["keep_bytes"]))
            for row in rows
        ],
    )
    total = _size(sum(row["delete_bytes"] for row in rows))
    gone = collect.delete(found, older_than) if really else []
    write_json(json_file, {"kinds": rows, "delete": doomed, "deleted": [directory.path for directory in gone]})
    if really:
        freed = _size(sum(directory.size for directory in gone))
        click.echo(f"deleted {len(gone)} of {len(doomed)} directories, {freed}")
    else:
        click.echo(f"{len(doomed)} directories, {total}, would be deleted; nothing was changed (--delete)")


def _tell(outcome: Outcome, json_file: Path | None) -> None:
    """Write and say what came of it; raises RefusedError (exit code 3) for a refusal."""
    from dataclasses import asdict

    from components.errors import RefusedError
    from components.platform.config import write_json

    write_json(json_file, asdict(outcome))
    if outcome.outcome == "refused":
        raise RefusedError(f"version {outcome.version} is refused\n" + "\n".join(outcome.reasons))
    click.echo(f"version {outcome.version}: {outcome.outcome}")
    for text in outcome.reasons:
        click.echo(text)
    for text in outcome.warnings:
        click.echo(f"warning: {text}", err=True)


def _print_versions(rows: list[dict[str, Any]]) -> None:
    """A row a version; scores are fractions."""
    from components.platform.screen.tables import Screen, columns

    if not rows:
        click.echo("no versions are registered")
        return
    lines = []
    for row in rows:
        size = "-" if row["bytes"] is None else _size(row["bytes"])
        scores = [row["scores"].get(f"plain.{stratum}") for stratum in ("reasoning", "knowledge")]
        words = [*row["roles"], *(f"@{alias}" for alias in row["aliases"])]
        why = row["rejected"] if len(row["rejected"]) <= _WHY else f"{row['rejected'][:_WHY]} ... (`models show`)"
        words += [f"rejected {why}"] if why else []
        words += ["DAMAGED"] if row["problem"] else []
        shown = ("-" if score is None else format(score, ".3f") for score in scores)
        lines.append((row["version"], row["created"][:16], size, row["gate"] or "-", *shown, ", ".join(words)))
    figures = ("version", "size", "reasoning", "knowledge")
    head = columns(
        "version", "created", "size", "gate", "reasoning", "knowledge", "state", words=("state",), figures=figures
    )
    Screen().table("", head, lines)


def _pointer_lines(found: Any) -> list[str]:
    from components.serving.pointer import said

    if found.pointer is None:
        return ["no pointer yet: nothing was promoted, and MLflow's alias champion counts"]
    lines = [f"pointer: {said(found.pointer)}"]
    if proposed := found.pointer.proposed:
        until = f" until {proposed.until}" if proposed.until else ""
        lines.append(f"proposed: version {proposed.version} by {proposed.by} since {proposed.at}{until}")
    if found.log_entries:
        lines.append(f"log: {found.log_entries} entries, each follows from the one before it")
    return [*lines, *(f"repaired: {text}" for text in found.repaired)]


def _moment(text: str) -> datetime:
    from components.errors import InputError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"models at {text}: not a time; write 2026-11-27 or 2026-11-27T03:00 (UTC)") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise InputError(f"models at {text}: {moment.isoformat()} has not come yet (times without a zone are UTC)")
    return moment


def _why(change: dict[str, Any]) -> str:
    return f": {change['why']}" if change["why"] else ""


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def who() -> str:
    """USER@HOST of this process: who a change is logged as."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"


def _model(name: str | None) -> str:
    from components.platform.tracking.registry import MODEL

    return name or MODEL


def _root() -> str:
    from components.platform.execution import store_root

    return store_root()
