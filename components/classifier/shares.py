"""What a split into reasoning and knowledge says: shares with intervals, raw, corrected and over the threshold, and how
far others agree with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.classifier import metrics as qa
from components.classifier.evaluation import weighted_auroc
from components.questions.items import Item, group_of
from components.questions.published import REASONING_SHARE

# Labels (0, 1) of n labelled questions, what the judge calls them, and their groups.
Errors = tuple[np.ndarray, np.ndarray, list[str]]

AGREEMENT = 0.05  # shares this close count as equal: a free, named choice
CURVE_THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(101))

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
    if errors and any(share["corrected"]["refuted"] for share in shares.values()):
        # A judge that errs otherwise in one benchmark does so in all of them together: no corrected share of all.
        pooled["corrected"] |= {"refuted": True, "share": None, "ci_low": None, "ci_high": None}
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
        "paper": {
            "share": REASONING_SHARE,
            "source": "arXiv 2505.11462, abstract: 32.8 % of 11 benchmarks' questions",
            "verdict": paper_verdict(pooled["ci_low"], pooled["ci_high"]),
        },
        "share_curve": curve,
        "threshold_at_paper_share": at_paper,
        "experts": _against_experts(rows),
        "published": _against_published(rows),
        "exam_step": _against_exam_step(rows),
        "metrics": metrics,
    }


def paper_verdict(low: float, high: float) -> str:
    """What an interval of a share says of the paper's, to stand before "the paper's 32.8%".

    That it holds the paper's share is no agreement: few questions hold nearly any. Agreement is an interval that lies
    within AGREEMENT on either side, both one-sided tests at 2.5 % (Schuirmann, 1987).
    """
    if low > REASONING_SHARE or high < REASONING_SHARE:
        return "differs from"
    if low >= REASONING_SHARE - AGREEMENT and high <= REASONING_SHARE + AGREEMENT:
        return f"agrees to {100 * AGREEMENT:.0f} points with"
    return "cannot be told from"


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


def _auroc(rows: Sequence[Item], theirs: list[bool]) -> dict[str, float]:
    """AUROC of the probabilities with its interval, drawing whole groups; NaN where one label is missing."""
    truth, prob = np.array(theirs, dtype=int), _probabilities(rows)
    number, size = qa.group_counts([group_of(item) for item in rows])
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), 1000)[:, number].astype(float)
    low, high = _percentiles(weighted_auroc(truth, prob, drawn))
    return {"auroc": qa.auroc(truth, prob), "auroc_ci_low": low, "auroc_ci_high": high}


def _agreement(rows: Sequence[Item], theirs: list[bool]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    ours = [bool(item.is_reasoning) for item in rows]
    values = {
        "agreement": float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)])),
        "kappa": qa.kappa(ours, theirs),
        **_auroc(rows, theirs),
        "their_share": float(np.mean(theirs)),
    }
    return {"n": len(rows), **{name: None if np.isnan(value) else value for name, value in values.items()}}


def rogan_gladen(share: Any, sensitivity: Any, specificity: Any) -> Any:
    """The true share behind a measured one: (share + specificity − 1) / (sensitivity + specificity − 1).

    Rogan and Gladen, "Estimating prevalence from the results of a screening test", 1978. It takes for granted that
    sensitivity and specificity are the same where the share was measured as where they were; a value outside [0, 1]
    says that they are not. NaN where the judge is no better than chance (a denominator of 0 or less). Arguments
    broadcast.
    """
    share, power = np.asarray(share, dtype=float), np.asarray(sensitivity + specificity - 1, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, (share + specificity - 1) / power, np.nan)


def corrected_share(
    flags: np.ndarray,
    truth: np.ndarray,
    groups: Sequence[str],
    labels: np.ndarray,
    called: np.ndarray,
    label_groups: Sequence[str],
    seed: int,
    n: int = 2000,
) -> dict[str, Any]:
    """The share of reasoning among items of which `flags` (0, 1) are called so, corrected, with a 95 % interval.

    `truth` holds the experts' label where an item has one (0, 1; NaN elsewhere): such an item counts as labelled, and
    only the others' share is corrected, within [0, 1]. `labels` and `called` (0, 1; out of fold) of the labelled
    questions give sensitivity and specificity. Items and labelled questions are drawn anew, by whole groups and apart
    from one another. `uncut` and its interval are the correction itself: where all of that interval lies outside
    [0, 1], the classifier errs otherwise among these items: `refuted`, and `share` and its interval are None. What is
    left then is `bound_low` to `bound_high`: no or every question without a label takes reasoning.
    """
    sensitivity, specificity = float(called[labels == 1].mean()), float(1 - called[labels == 0].mean())
    rng = np.random.default_rng(seed)
    unknown = np.isnan(truth)
    once = np.ones((1, qa.group_counts(groups)[1]))
    draws = _draws(groups, rng, n)
    label_draws = _draws(label_groups, rng, n)
    sensitive = _ratio(label_draws, label_groups, called * labels, labels)
    specific = _ratio(label_draws, label_groups, (1 - called) * (1 - labels), 1 - labels)

    def estimates(times: np.ndarray, sens: Any, spec: Any) -> tuple[np.ndarray, np.ndarray]:
        rest = _ratio(times, groups, unknown, np.ones(len(flags)))
        uncut = rogan_gladen(_ratio(times, groups, flags * unknown, unknown), sens, spec)
        known = _ratio(times, groups, np.where(unknown, 0, truth), np.ones(len(flags)))
        return known + np.where(rest > 0, rest * np.clip(uncut, 0, 1), 0), uncut

    (share,), (uncut,) = estimates(once, sensitivity, specificity)
    (low, high), (uncut_low, uncut_high) = (_percentiles(drawn) for drawn in estimates(draws, sensitive, specific))
    refuted = bool(uncut_high < 0 or uncut_low > 1)
    labelled = _ratio(once, groups, np.where(unknown, 0, truth), np.ones(len(flags)))[0]
    values = {
        "share": np.nan if refuted else share,
        "ci_low": np.nan if refuted else low,
        "ci_high": np.nan if refuted else high,
        "bound_low": labelled,
        "bound_high": labelled + _ratio(once, groups, unknown, np.ones(len(flags)))[0],
        "uncut": uncut,
        "uncut_low": uncut_low,
        "uncut_high": uncut_high,
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    return {"refuted": refuted, **{name: None if np.isnan(value) else float(value) for name, value in values.items()}}


def correction_words(found: Mapping[str, Any]) -> str:
    """A corrected share with its interval, or why there is none; "" where the classifier is no better than chance."""
    if found["share"] is not None:
        return f"{found['share']:.1%} ({found['ci_low']:.1%} to {found['ci_high']:.1%})"
    if found["uncut"] is None:
        return ""
    uncut = f"{found['uncut']:.0%} ({found['uncut_low']:.0%} to {found['uncut_high']:.0%})"
    bound = f"; anything from {found['bound_low']:.1%} to {found['bound_high']:.1%} is possible"
    if found["uncut_high"] >= 0 and found["uncut_low"] <= 1:
        return f"none: errors are others in one benchmark than in the next{bound}"
    return f"none: {uncut} is no share{bound}"


def share_curve(prob: np.ndarray, benchmarks: Sequence[str]) -> dict[str, list[float]]:
    """`threshold`, and the share of items that reach it: `pooled` and `macro` (mean over benchmarks)."""
    by_name: dict[str, list[int]] = {}
    for row, name in enumerate(benchmarks):
        by_name.setdefault(name, []).append(row)
    steps = np.array(CURVE_THRESHOLDS)
    reached = prob[:, None] >= steps
    macro = np.mean([reached[rows].mean(axis=0) for rows in by_name.values()], axis=0)
    return {"threshold": steps.tolist(), "pooled": reached.mean(axis=0).tolist(), "macro": macro.tolist()}


def crossing(curve: Mapping[str, Sequence[float]], share: float) -> float:
    """The first threshold of the curve at which the pooled share is at or below `share`."""
    pairs = zip(curve["threshold"], curve["pooled"], strict=True)
    return next((threshold for threshold, value in pairs if value <= share), 1.0)


def _draws(groups: Sequence[str], rng: np.random.Generator, n: int) -> np.ndarray:
    """How often each group is drawn, shape (n, groups)."""
    size = qa.group_counts(groups)[1]
    return rng.multinomial(size, np.full(size, 1 / size), n)


def _ratio(draws: np.ndarray, groups: Sequence[str], hits: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """sum(hits) / sum(chances) in each draw of whole groups, NaN where there is no chance."""
    number, size = qa.group_counts(groups)
    top, bottom = (draws @ np.bincount(number, weights=column, minlength=size) for column in (hits, chances))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(top / bottom)


def _percentiles(drawn: np.ndarray) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
