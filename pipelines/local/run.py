"""One pipeline run on this machine, on real servers, believing receipts and nothing else."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from components.errors import StageError
from components.platform import events, execution, logs, notify
from components.platform.checks.place import check_home
from components.platform.machine import home
from components.platform.processes import own_modules, stop
from components.platform.tracking import files, names, notes
from components.platform.tracking import runs as tracking
from pipelines.local import docker_runner, doctor, servers
from pipelines.local.estimate import Estimate, estimate, in_words
from pipelines.local.progress import Progress
from pipelines.local.summary import summarise
from pipelines.settings.recipes import AnyRecipe, model_references
from pipelines.settings.tasks import expected
from pipelines.staging import staged

LOG = logging.getLogger(__name__)
GRACE_SECONDS = 10
FAILED_SECONDS = 5


def run(recipe: AnyRecipe, runner: str = "subprocess", fresh: bool = False) -> dict[str, Any]:
    """Run a recipe and return the run summary (design: contracts).

    Raises InputError before any work for what cannot work, StageError naming stage and log when a task left no
    receipt, whatever the runner said.
    """
    check_home(embedded=servers.wanted())
    doctor.check_disk()
    doctor.check_configured_servers()
    if runner == "docker":
        docker_runner.check()
    local_only = not any(ref.startswith(("s3://", "registry:")) for ref in _references(recipe))
    if local_only:
        doctor.check_recipe_inputs(recipe)
    run_id = f"{names.identifier(recipe.name)}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    with _servers_of_this_run():
        if not local_only:
            doctor.check_recipe_inputs(recipe)
        execution.clear_scratch()
        tracking.end_dead_runs()
        if runner == "docker":
            recipe = staged(recipe, execution.store_root())
        folder = home() / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / "recipe.json").write_text(recipe.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
        LOG.info("run %s: logs in %s", run_id, folder / "logs")
        tags = {"recipe": recipe.name, "recipe_digest": recipe.digest()}
        tags |= tracking.source_tags(f"biomed-r1 run --recipe {recipe.name}", "LOCAL")
        values = recipe.model_dump(mode="json", by_alias=True)
        with tracking.pipeline_run(run_id, values, tags) as parent:
            parent.note(recipe.description, notes.where(run_id, execution.store_root()))
            files.log_text(parent, "recipe.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
            try:
                took = estimate(recipe.name, expected(recipe), folder.parent)
                if parent.run_id:
                    LOG.info("MLflow: %s", tracking.run_address(parent.run_id))
                if (total := took.left(expected(recipe))) is not None:
                    LOG.info("it takes about %s where nothing is stored yet, %s", in_words(total), took.source)
                else:
                    LOG.info("how long it takes is not known: recipe %s has not run here", recipe.name)
                _run_pipeline(folder, run_id, runner, fresh, parent.run_id or "", expected(recipe), took)
            finally:
                # A task that was killed could not end its own run.
                tracking.end_unfinished(run_id)
            with _told_when_failed(parent, run_id):
                receipts = _believe_receipts(folder, run_id, expected(recipe))
            summary = summarise(run_id, recipe, folder, receipts, parent)
            notify.tell(notes.message(parent, run_id, "SUCCEEDED", (summary["gate"] or {}).get("decision")))
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return summary


def _references(recipe: AnyRecipe) -> Sequence[str]:
    return (recipe.data.benchmarks, recipe.data.train, *model_references(recipe))


@contextmanager
def _servers_of_this_run() -> Iterator[None]:
    """Embedded servers up; an interrupted run takes those it started down again, unless another run uses them.

    A finished run leaves them.
    """

    def interrupt(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, interrupt)
    before = servers.running()
    try:
        with servers.in_use():
            if started := servers.up().started:
                LOG.info("started %s; stop with `biomed-r1 down`", " and ".join(started))
            yield
    except (KeyboardInterrupt, SystemExit):
        LOG.warning("interrupted: what finished is stored, and the same command continues from there")
        execution.clear_scratch()
        try:
            servers.down([name for name in servers.running() if name not in before])
        except servers.InUseError:
            LOG.info("the embedded servers stay up: another run uses them")
        raise


@contextmanager
def _told_when_failed(parent: tracking.Tracked, run_id: str) -> Iterator[None]:
    try:
        yield
    except StageError as error:
        notify.tell(f"{notes.message(parent, run_id, 'FAILED')}: {error}")
        raise


def _run_pipeline(
    folder: Path, run_id: str, runner: str, fresh: bool, parent: str, tasks: Sequence[str], took: Estimate
) -> None:
    environment = {
        **os.environ,
        execution.RUN_VARIABLE: run_id,
        events.RUN_FOLDER_VARIABLE: str(folder),
        tracking.PARENT_VARIABLE: parent,
        "BIOMED_R1_HOME": str(home()),
        "PYTHONUNBUFFERED": "1",
        **own_modules(),
    }
    environment.pop("MLFLOW_RUN_ID", None)
    if fresh:
        environment[execution.FRESH_VARIABLE] = run_id
    log = folder / "pipeline.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.local.runner", str(folder), runner],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        progress = Progress(folder, tasks, took)
        try:
            while process.poll() is None and not progress.failed:
                progress.update()
                time.sleep(0.3)
            if progress.failed:
                # The task still writes down why; a runner that takes it for a success would go on for minutes.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(FAILED_SECONDS)
        finally:
            _end_tree(process)
            if runner == "docker":
                docker_runner.clear(folder, run_id)
            progress.update()
            progress.close()


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    """Leave no child behind: the runner, its task, and an engine the task may have started."""
    if process.poll() is not None:
        return
    stop(process.pid, GRACE_SECONDS)
    process.wait()


def _believe_receipts(folder: Path, run_id: str, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The receipts of every task; raises StageError naming the first task without one, and its log."""
    receipts = execution.read_receipts(execution.store_root(), run_id)
    missing = [task for task in tasks if task not in receipts]
    if missing:
        # Tasks that need nothing of each other run in KFP's order, not ours: the one that failed had started.
        begun = [task for task in events.unfinished(folder) if task in missing]
        task = (begun or missing)[0]
        log = logs.log_path(folder, task)
        log = log if log.is_file() else folder / "pipeline.log"
        why = _last_words(log)
        if task in begun and not events.has_failed(folder, task):
            why = (
                "its process ended without a word: it was killed, most often because the memory was full (see the end "
                f"of `dmesg`). Free some, or set a smaller batch; the same command goes on. Its last line: {why}"
            )
        raise StageError(f"stage {task} failed: {why}\nits log: {log}")
    return {task: receipts[task] for task in tasks}


def _last_words(log: Path) -> str:
    """The line of a log that says what went wrong: the last one of a traceback, else the last."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line.split(":")[0] and ":" in line]
    return (errors or lines or ["it left no receipt and no output"])[-1][:400]
