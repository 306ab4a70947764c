"""What the threshold decides: the share over it as a curve, and the share corrected for the classifier's errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.classifier.shares import corrected_share, experts_labels, share_curve
from components.questions.items import Item, group_of
from components.report.scores import Record
from components.report.wording import is_number, percent, spread


def threshold_curve(items: Sequence[Item]) -> tuple[Record, float | None] | None:
    """share_curve of the items that have a probability, and the threshold they were cut at; None without any."""
    scored = [item for item in items if item.reasoning_prob is not None]
    if not scored:
        return None
    prob = np.array([item.reasoning_prob for item in scored], dtype=float)
    return share_curve(prob, [item.dataset_name for item in scored]), scored[0].reasoning_threshold


def corrected_sentence(items: Sequence[Item], classifier: Record | None) -> str | None:
    """The Rogan–Gladen share in words; None where the errors are unknown or the classifier is no better than chance."""
    rows = [
        r for r in (classifier or {}).get("labelled") or [] if is_number(r.get("prob")) or is_number(r.get("called"))
    ]
    flagged = [item for item in items if item.is_reasoning is not None]
    if not flagged or {r["label"] for r in rows} != {0, 1}:
        return None
    flags = np.array([float(bool(item.is_reasoning)) for item in flagged])
    labels = np.array([int(r["label"]) for r in rows])
    called = np.array([_called(r, flagged[0].reasoning_threshold) for r in rows])
    groups, truth = [group_of(item) for item in flagged], experts_labels(flagged)
    found = corrected_share(flags, truth, groups, labels, called, [str(r.get("group_id")) for r in rows], seed=0)
    share, low, high = found["share"], found["ci_low"], found["ci_high"]
    if found["uncut"] is None:
        return None
    errors = (
        f"Corrected for the classifier's errors on labelled questions (sensitivity {percent(found['sensitivity'])}, "
        f"specificity {percent(found['specificity'])}; Rogan and Gladen)"
    )
    if share is None or low is None or high is None:
        return (
            f"{errors} the share of the questions that nobody labelled would be {percent(found['uncut'])}, which no "
            "share can be: the classifier errs otherwise on these questions. Anything from "
            f"{percent(found['bound_low'])} to {percent(found['bound_high'])} of all is possible."
        )
    labelled = ", with experts' labels taken as they are," if not np.isnan(truth).all() else ""
    return (
        f"{errors}{labelled} the share is {percent(share)} ({spread(low, high)}). That takes for granted that it errs "
        "alike on these questions."
    )


def _called(row: Record, threshold: float | None) -> int:
    """What the classifier calls a labelled row, cut where the items were, which need not be its own threshold."""
    if threshold is None or not is_number(row.get("prob")):
        return int(row["called"])
    return int(row["prob"] >= threshold)
