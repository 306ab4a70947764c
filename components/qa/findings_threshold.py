"""What the threshold decides: the share over it as a curve, and the share corrected for the classifier's errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from components.qa.findings import Record
from components.qa.items import Item, group_of
from components.qa.prevalence import corrected_share, share_curve
from components.qa.wording import is_number, percent, spread


def threshold_curve(items: Sequence[Item]) -> tuple[Record, float | None] | None:
    """share_curve of the items that have a probability, and the threshold they were cut at; None without any."""
    scored = [item for item in items if item.reasoning_prob is not None]
    if not scored:
        return None
    prob = np.array([item.reasoning_prob for item in scored], dtype=float)
    return share_curve(prob, [item.dataset_name for item in scored]), scored[0].reasoning_threshold


def corrected_sentence(items: Sequence[Item], classifier: Record | None) -> str | None:
    """The Rogan–Gladen share in words; None where the errors are unknown or the classifier is no better than chance."""
    rows = [r for r in (classifier or {}).get("labelled") or [] if is_number(r.get("called"))]
    flagged = [item for item in items if item.is_reasoning is not None]
    if not flagged or {r["label"] for r in rows} != {0, 1}:
        return None
    flags = np.array([float(bool(item.is_reasoning)) for item in flagged])
    labels, called = (np.array([int(r[name]) for r in rows]) for name in ("label", "called"))
    groups = [group_of(item) for item in flagged]
    found = corrected_share(flags, groups, labels, called, [str(r.get("group_id")) for r in rows], seed=0)
    share, low, high = found["share"], found["ci_low"], found["ci_high"]
    if share is None or low is None or high is None:
        return None
    return (
        f"Corrected for the classifier's errors on labelled questions (sensitivity {percent(found['sensitivity'])}, "
        f"specificity {percent(found['specificity'])}; Rogan and Gladen) the share is {percent(share)} "
        f"({spread(low, high)}). That takes for granted that it errs alike on these questions."
    )
