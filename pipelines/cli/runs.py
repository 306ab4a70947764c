"""`biomed-r1 status`, `logs`: the runs of this machine, and what their tasks printed."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("status")
@click.argument("run", required=False)
def status_command(run: str | None) -> None:
    """The embedded servers, and the tasks of the latest run on this machine (or of RUN), a line each."""
    from components.platform.machine import home, use_nearest_home
    from components.platform.screen.tables import Screen, columns
    from pipelines.local import servers

    use_nearest_home()
    screen = Screen()
    about = [("home", str(home())), ("servers", ", ".join(servers.running()) or "none running")]
    folder = _folder(run)
    if folder is None:
        screen.pairs([*about, ("run", "none yet: biomed-r1 run")])
        return
    screen.pairs([*about, ("run", folder.name)])
    rows = [(task, state, "" if seconds is None else f"{seconds:.0f} s") for task, state, seconds in _tasks(folder)]
    screen.table("", columns("", "", ""), rows)
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        addresses = [("report", summary["report"]), ("MLflow", summary.get("mlflow_run_url") or "")]
        screen.pairs([(name, address) for name, address in addresses if address])


@click.command("logs")
@click.argument("task")
@click.option("--run", help="A run's name [default: the latest].")
def logs_command(task: str, run: str | None) -> None:
    """Print what TASK of the latest run on this machine wrote (a task's name as in `biomed-r1 status`)."""
    from components.errors import InputError
    from components.platform.logs import log_path
    from components.platform.machine import use_nearest_home
    from components.platform.words import did_you_mean

    use_nearest_home()
    folder = _folder(run)
    if folder is None:
        raise InputError("no run on this machine yet: biomed-r1 run")
    log = log_path(folder, task)
    if not log.is_file():
        known = sorted(path.stem for path in log.parent.glob(f"*{log.suffix}"))
        raise InputError(f"{log}: no log of {task!r}{did_you_mean(task, known)}")
    click.echo(log.read_text(encoding="utf-8", errors="replace"), nl=False)


def _folder(run: str | None) -> Path | None:
    """The folder of a run, of the latest one where none is named; raises InputError for a run that is not here."""
    from components.errors import InputError
    from components.platform.machine import home
    from components.platform.words import did_you_mean

    folders = sorted((home() / "runs").glob("*/recipe.json"), key=lambda path: path.stat().st_mtime)
    if run is None:
        return folders[-1].parent if folders else None
    found = [path.parent for path in folders if path.parent.name == run]
    if not found:
        raise InputError(f"run {run!r}: not in {home() / 'runs'}{did_you_mean(run, [p.parent.name for p in folders])}")
    return found[0]


def _tasks(folder: Path) -> list[tuple[str, str, float | None]]:
    """(task, state, seconds) of a run in the pipeline's order; "waiting" for what has not begun."""
    from components.platform import events
    from pipelines.settings.recipes import parse_recipe
    from pipelines.settings.tasks import expected

    begun: dict[str, float] = {}
    found: dict[str, tuple[str, float | None]] = {}
    for event in events.read(folder):
        task, state = event["task"], event["state"]
        if state == "started":
            begun[task], found[task] = event["time"], ("running", None)
        elif state in ("finished", "failed"):
            words = "reused" if state == "finished" and event.get("reused") else state
            found[task] = (words, event["time"] - begun.get(task, event["time"]))
    names = expected(parse_recipe((folder / "recipe.json").read_text(encoding="utf-8")))
    order = [*names, *(task for task in found if task not in names)]
    return [(task, *found.get(task, ("waiting", None))) for task in order]
