"""What frames a run: a doctor before its tasks, the check of their receipts, a record of the outcome. No stage."""

from __future__ import annotations

import logging
from contextlib import suppress

from components.errors import InputError, ReadableError, StageError
from components.platform import failures, logs
from components.platform.checks import place
from components.platform.config import parse_config
from components.platform.execution import read_receipts, run_id, store_root
from components.platform.storage import plan as plans
from components.platform.tracking import files, notes
from components.platform.tracking import runs as tracking
from components.platform.tracking.slots import run_times
from components.tasks.patience import patient

LOG = logging.getLogger(__name__)
# The task that checks the others' receipts. It owes none: it is the last of the graph, and nothing runs after it but
# the exit task, which reads the receipts again.
DOCTOR, RECEIPTS = "doctor", "receipts"


@patient
def doctor(plan: str, run: str, run_date: str) -> None:
    """Store the plan (given whole, as text) and check everything that the run needs."""
    logs.configure()
    # First, so that the outcome can be told from it when a check fails; what is wrong with the store, the checks say.
    with suppress(ReadableError):
        plans.write(store_root(), plan)
    with failures.recorded(store_root(), run_id(run), DOCTOR, DOCTOR):
        _checked(plan, run, run_date)


def _checked(plan: str, run: str, run_date: str) -> None:
    from components.stages.frame.preflight import PreflightConfig, preflight

    read = plans.parse(plan)
    sources = tuple((source, kind) for kind, source in read.data.items())
    config = PreflightConfig(models=read.references, sources=sources, runtime=_runtime(read))
    preflight(config, run_id(run))
    plans.write(store_root(), plan)
    workflow = place.read_workflow(run_id(run)) if place.in_cluster() else None
    source = tracking.source_tags(f"biomed-r1 submit, recipe {read.tags.get('recipe', '')}", "JOB")
    tags = read.tags | source | run_times(run_date, workflow)
    parent = tracking.open_pipeline(run_id(run), read.parameters, tags)
    parent.note(read.tags.get("description", ""), notes.where(run_id(run), store_root()))
    files.log_text(parent, "plan.yaml", read.readable)


@patient
def receipts(plan: str, run: str) -> None:
    """Raise StageError naming the tasks that left no receipt, and where their logs are.

    Inside the graph, because KFP takes a run for a success when only its exit task failed.
    """
    logs.configure()
    logs.redirect(RECEIPTS)
    with failures.recorded(store_root(), run_id(run), RECEIPTS, RECEIPTS):
        _all_there(plan, run)


def _all_there(plan: str, run: str) -> None:
    owed = plans.read(store_root(), plan).tasks
    found = read_receipts(store_root(), run_id(run))
    if missing := [task for task in owed if task not in found]:
        raise StageError(
            f"no receipt of {', '.join(missing)}: {'it' if len(missing) == 1 else 'each'} ended without storing a "
            f"result, whatever the runner said\nits log: {_where(missing[0], run_id(run))}"
        )
    LOG.info("receipts of all %d tasks", len(owed))


@patient
def outcome(state: str, plan: str, run: str) -> None:
    """Record how the run ended, in KFP's word, in MLflow; raises StageError where a receipt is missing."""
    from components.stages.frame.outcome import OutcomeConfig, record_outcome

    logs.configure()
    read = None
    try:
        read = plans.read(store_root(), plan)
        config = OutcomeConfig(tasks=read.tasks, price_per_gpu_hour=read.price_per_gpu_hour)
    except InputError as error:
        # The doctor writes the plan: without one nothing ran, and that is what there is to record.
        LOG.warning("%s", error)
        config = OutcomeConfig(tasks=("doctor",))
    try:
        record_outcome(run_id(run), state, config)
    finally:
        if read is not None and _runtime(read):
            _end_jobs(run_id(run))


def _runtime(plan: plans.Plan) -> str | None:
    """The TrainingRuntime that the trainings of a run need, None where they are no TrainJobs."""
    from components.training.place import TrainerPlace

    place = parse_config(TrainerPlace, plan.trainer, f"plan {plan.digest}: trainer")
    return place.job.runtime if place.launch == "trainjob" else None


def _end_jobs(run: str) -> None:
    """Delete trainings that the run has left behind: its tasks were cancelled, or reached their own timeouts."""
    from components.platform.cluster.api import connect
    from components.training.job.watcher import ROLE, delete_jobs_of

    try:
        for name in delete_jobs_of(connect(role=ROLE), run):
            LOG.warning("TrainJob %s: the run has ended, so it is deleted; it stores a checkpoint first", name)
    except ReadableError as error:
        LOG.error("TrainJobs of run %s were not looked for: %s", run, error)


def _where(task: str, run: str) -> str:
    if folder := logs.run_folder():
        return str(logs.log_path(folder, task))
    return (
        f"in KFP's page of run {run}, task {task}, artifact executor-logs; while its pod is there, "
        f"`kubectl logs --selector pipeline/runid={run} --container main`"
    )
