"""Which time of its schedule a run stands for: not when it was created, which a busy cluster moves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

# KFP's scheduledworkflow controller writes the time of the schedule, in seconds since 1970, on each Workflow it makes.
EPOCH_LABEL = "scheduledworkflows.kubeflow.org/workflowEpoch"


def slot_of(workflow: Mapping[str, Any] | None) -> str | None:
    """The time (ISO 8601, UTC) of the schedule that a run's Workflow was made for; None for a run by hand."""
    labels = ((workflow or {}).get("metadata") or {}).get("labels") or {}
    epoch = str(labels.get(EPOCH_LABEL, ""))
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if epoch.isdecimal() else None


def run_times(started: str, workflow: Mapping[str, Any] | None) -> dict[str, str]:
    """The tags that say when: `started`, when the run was created, and `slot`, the schedule's time, where known.

    `started` is what KFP puts in the place of its placeholder; before 2.17 it hands the placeholder over as it is.
    """
    times = {} if started.startswith("{" * 2) else {"started": started}
    slot = slot_of(workflow)
    return times | ({"slot": slot} if slot else {})
