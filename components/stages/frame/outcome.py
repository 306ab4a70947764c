"""How a cluster run ended, recorded in MLflow by its exit handler whatever happened, from receipts (design D13)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from components.errors import StageError
from components.platform import failures, notify
from components.platform.execution import read_receipts, store_root
from components.platform.storage import store
from components.platform.tracking import files, notes
from components.platform.tracking import runs as tracking

LOG = logging.getLogger(__name__)
# Our words and MLflow's.
STATUS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED"}
# KFP's words for an end that no receipt can change. Its API says CANCELLED, its drivers that keep states in ML Metadata
# say CANCELED (kubeflow/pipelines, backend/src/v2/driver).
UNSUCCESSFUL = {"FAILED": "FAILED", "CANCELLED": "CANCELLED", "CANCELED": "CANCELLED"}


class OutcomeConfig(BaseModel):
    """What a run owes: the tasks that leave a receipt, and what a GPU-hour costs (USD)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...]
    price_per_gpu_hour: float | None = None


def record_outcome(run: str, state: str, config: OutcomeConfig) -> dict[str, str]:
    """Tag the run's MLflow parent with its outcome, log GPU time and cost, and end what is still open.

    `state` is KFP's word, and recorded as it is; it calls a cancelled run FAILED, which our own record tells apart. A
    success is SUCCEEDED to its API, COMPLETE or CACHED to drivers that keep states in ML Metadata, which can also still
    say RUNNING: whatever is no failure is decided by the receipts.
    Returns the tags. Raises StageError, after recording, when KFP knows of no failure and a receipt is missing.
    """
    root = store_root()
    receipts = read_receipts(root, run)
    missing = [task for task in config.tasks if task not in receipts]
    begun = [task for task in tracking.begun_tasks(run) if task in missing]
    believed = UNSUCCESSFUL.get(state, "FAILED" if missing else "SUCCEEDED")
    cancelled = failures.read_cancelled(root, run) if believed == "FAILED" else None
    if cancelled:
        believed = "CANCELLED"
    tags = {"outcome.state": believed, "outcome.kfp_state": state, "outcome.missing": ", ".join(missing)}
    if believed != "SUCCEEDED":
        # A task that began and left no receipt failed; where none began, the next one could not even start.
        checked = [] if receipts or not failures.read_failure(root, run, "doctor") else ["doctor"]
        tags["outcome.failed_task"] = (begun or checked or missing or ["none"])[0]
    if cancelled:
        tags["outcome.cancelled_by"] = str(cancelled.get("by", ""))
    metrics = gpu_use(receipts, config.price_per_gpu_hour)
    if compared := receipts.get("compare"):
        tags["gate.decision"] = str(store.get_json(f"{compared['uri']}/decision.json")["decision"])
        metrics |= compared["evidence"].get("metrics", {})
    LOG.info("%s", ", ".join(f"{name}={value or '-'}" for name, value in tags.items()))
    parent = tracking.pipeline_parent(run)
    files.log_results(parent, receipts)
    parent.note(notes.ended(parent, receipts, tags.get("gate.decision")))
    tracking.close_pipeline(run, STATUS[believed], tags, metrics)
    notify.tell(notes.message(parent, run, believed, tags.get("gate.decision"), tags.get("outcome.failed_task")))
    if missing and state not in UNSUCCESSFUL:
        raise StageError(f"KFP says {state}, but there is no receipt of {', '.join(missing)}: the run failed")
    return tags


def gpu_use(receipts: Mapping[str, Mapping[str, Any]], price_per_gpu_hour: float | None) -> dict[str, float]:
    """GPU-seconds held by the tasks that ended well and, where a price is given, what they cost in USD."""
    seconds = sum(float(receipt.get("gpu_seconds", 0)) for receipt in receipts.values())
    use = {"gpu_seconds": seconds}
    if price_per_gpu_hour is not None:
        use["gpu_cost_usd"] = round(seconds / 3600 * price_per_gpu_hour, 2)
    return use
