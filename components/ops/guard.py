"""What frames a run: a doctor before its tasks, the check of their receipts, a record of the outcome after them."""

from kfp import dsl

from components.ops.component import component
from components.ops.training import CPU_IMAGE


@component(CPU_IMAGE)
def doctor(plan: str, run: str, run_date: str) -> None:
    from components.tasks import guard

    guard.doctor(plan, run, run_date)


@component(CPU_IMAGE)
def receipts(plan: str, run: str) -> None:
    from components.tasks import guard

    guard.receipts(plan, run)


@component(CPU_IMAGE)
def outcome(status: dsl.PipelineTaskFinalStatus, plan: str, run: str) -> None:
    from components.tasks import guard

    guard.outcome(status.state, plan, run)
