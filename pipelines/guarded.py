"""The frame of a run: a doctor before its tasks, a check of their receipts, and a record of the outcome, always."""

from collections.abc import Iterator
from contextlib import contextmanager

from kfp import dsl

from components.ops.guard import doctor, outcome, receipts
from components.platform.storage.plan import Plan
from pipelines.placement import HUB, WEBHOOK, place
from pipelines.settings.profile import Profile

DAY_SECONDS = 24 * 60 * 60


@contextmanager
def guarded(plan: Plan, profile: Profile) -> Iterator[tuple[list[dsl.PipelineTask], list[dsl.PipelineTask]]]:
    """Tasks made inside run after a doctor, before the check of receipts, and inside an exit handler.

    Yields what the first of them come `.after`, and a list to put the last of them in. On a profile of one machine
    `biomed-r1 run` checks before and records after by itself; the receipts are checked there too.
    """
    last: list[dsl.PipelineTask] = []
    told = {"plan": plan.digest, "run": dsl.PIPELINE_JOB_ID_PLACEHOLDER}
    if not profile.cluster:
        yield [], last
        place(receipts(**told).after(*last), "cpu", profile, "Check that every task left a receipt")
        return
    end = outcome(**told)
    # What these three find stays so, and the tasks themselves wait for a server that does not answer.
    place(end, "cpu", profile, "Record the outcome", retried=False, asks=WEBHOOK)
    with dsl.ExitHandler(end, name="Record the outcome whatever happens"):
        first = doctor(
            plan=plan.text,
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            # When the schedule meant it to start, or when it was started by hand: lineage, and in no stage's key.
            run_date=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER,
        )
        place(first, "cpu", profile, "Check everything the run needs", retried=False, asks=HUB)
        yield [first], last
        # A failing exit task fails no run, so this one is inside the graph (KFP compiles the exit task to a hook).
        owed = receipts(**told).after(*last)
        place(owed, "cpu", profile, "Check that every task left a receipt", retried=False)


def limits(profile: Profile) -> dsl.PipelineConfig | None:
    """How long a run may take and its Workflow stays; None on one machine."""
    if not profile.cluster:
        return None
    return dsl.PipelineConfig(
        # A task's own timeout counts from its pod's start. A pod that finds no node, no quota or no image never starts.
        active_deadline_seconds=int((profile.run_hours or 0) * 60 * 60),
        ttl_seconds_after_finished=int(profile.keep_days * DAY_SECONDS),
        ttl_seconds_after_failure=int(profile.keep_failed_days * DAY_SECONDS),
    )
