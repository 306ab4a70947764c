"""What a split into reasoning and knowledge says: shares with intervals, and how far others agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.classifier import metrics as qa
from components.classifier.prevalence import corrected_share, crossing, share_curve
from components.questions.items import Item, group_of
from components.questions.published import REASONING_SHARE

# Labels (0, 1) of n labelled questions, what the judge calls them, and their groups.
Errors = tuple[np.ndarray, np.ndarray, list[str]]

# MedQA's own names of the exam steps (its field meta_info).
STEP_1, LATER_STEPS = "step1", ("step2&3",)


def describe_strata(
    rows: Sequence[Item], threshold: float, threshold_rule: str, errors: Errors | None, seed: int
) -> dict[str, Any]:
    """Shares called reasoning per benchmark, pooled and macro, raw and corrected, their curve, and what agrees.

    `rows` carry reasoning_prob, is_reasoning and meta.prob_source; `errors` are the judge's own, on labelled questions.
    """
    by_benchmark: dict[str, list[Item]] = {}
    for item in rows:
        by_benchmark.setdefault(item.dataset_name, []).append(item)
    shares = {name: _share(part, errors, seed) for name, part in by_benchmark.items()}
    pooled = _share(rows, errors, seed)
    macro = float(np.mean([share["share"] for share in shares.values()]))
    curve = share_curve(_probabilities(rows), [item.dataset_name for item in rows])
    at_paper = crossing(curve, REASONING_SHARE)
    metrics = {"reasoning_share": pooled["share"], "reasoning_share_macro": macro, "threshold": threshold}
    metrics |= {"threshold_at_paper_share": at_paper, "reasoning_share_paper": REASONING_SHARE}
    metrics |= {f"reasoning_share_{name}": share["share"] for name, share in shares.items()}
    if errors and pooled["corrected"]["share"] is not None:
        metrics["reasoning_share_corrected"] = pooled["corrected"]["share"]
    return {
        "items": len(rows),
        "rows_in": len(rows),
        "threshold": threshold,
        "threshold_rule": threshold_rule,
        "pooled": pooled,
        "macro_share": macro,
        "benchmarks": shares,
        "paper": {"share": REASONING_SHARE, "source": "arXiv 2505.11462, abstract: 32.8 % of 11 benchmarks' questions"},
        "share_curve": curve,
        "threshold_at_paper_share": at_paper,
        "experts": _against_experts(rows),
        "published": _against_published(rows),
        "exam_step": _against_exam_step(rows),
        "metrics": metrics,
    }


def _share(rows: Sequence[Item], errors: Errors | None, seed: int) -> dict[str, Any]:
    flags = np.array([float(bool(item.is_reasoning)) for item in rows])
    groups = [group_of(item) for item in rows]
    low, high = qa.share_interval(groups, flags, seed)
    return {
        "n": len(rows),
        "groups": len(set(groups)),
        "share": float(flags.mean()),
        "ci_low": low,
        "ci_high": high,
        "corrected": corrected_share(flags, experts_labels(rows), groups, *errors, seed) if errors else None,
        "mean_prob": float(np.mean(_probabilities(rows))),
        "out_of_fold": sum(item.meta["prob_source"] == "out_of_fold" for item in rows),
    }


def experts_labels(rows: Sequence[Item]) -> np.ndarray:
    """1.0 reasoning, 0.0 understanding, NaN where nobody labelled the item; shape (n,)."""
    kinds = {"Reasoning": 1.0, "Understanding": 0.0, None: np.nan}
    return np.array([kinds[item.question_type] for item in rows])


def _probabilities(rows: Sequence[Item]) -> np.ndarray:
    return np.array([item.reasoning_prob for item in rows], dtype=float)


def _against_experts(rows: Sequence[Item]) -> dict[str, Any]:
    """Agreement with the experts' labels among these items, all and those that the classifier was not trained on."""
    labelled = [item for item in rows if item.question_type is not None]
    parts = {"all": labelled, "untrained": [i for i in labelled if i.meta["prob_source"] == "classifier"]}
    return {name: _agreement(part, [i.question_type == "Reasoning" for i in part]) for name, part in parts.items()}


def _against_exam_step(rows: Sequence[Item]) -> dict[str, Any]:
    """A weak outside check: USMLE Step 2 and 3 (patients) against Step 1 (basic science), where items say which.

    Not a reasoning label: a classifier that draws the experts' line should lean the same way, no more.
    """
    told = [item for item in rows if item.meta.get("meta_info") in (STEP_1, *LATER_STEPS)]
    later = [item.meta["meta_info"] != STEP_1 for item in told]
    words = np.array([float(len(qa.stem(item).split())) for item in told])
    alone = qa.auroc(np.array(later, dtype=int), words)
    return {**_agreement(told, later), "words_auroc": None if np.isnan(alone) else alone}


def _against_published(rows: Sequence[Item]) -> dict[str, Any]:
    """Agreement with the strata that the input carried (meta.published), pooled and per benchmark."""
    carried = [item for item in rows if (item.meta.get("published") or {}).get("is_reasoning") is not None]
    names = dict.fromkeys(item.dataset_name for item in carried)
    parts = {"all": carried, **{name: [i for i in carried if i.dataset_name == name] for name in names}}
    return {
        name: _agreement(part, [bool(i.meta["published"]["is_reasoning"]) for i in part])
        for name, part in parts.items()
    }


def _agreement(rows: Sequence[Item], theirs: list[bool]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    ours = [bool(item.is_reasoning) for item in rows]
    values = {
        "agreement": float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)])),
        "kappa": qa.kappa(ours, theirs),
        "auroc": qa.auroc(np.array(theirs, dtype=int), np.array([item.reasoning_prob for item in rows], dtype=float)),
        "their_share": float(np.mean(theirs)),
    }
    return {"n": len(rows), **{name: None if np.isnan(value) else value for name, value in values.items()}}
