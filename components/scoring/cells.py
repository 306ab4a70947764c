"""scores.json from items and graded answers: accuracy cells, knowledge-reasoning gaps, adversarial drops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.extraction.engine import EXTRACTION_VERSION
from components.scoring.bootstrap import DRAWS
from components.scoring.gaps import gaps_and_drops
from components.scoring.intervals import Interval, accuracy_interval, macro_interval
from components.scoring.outcomes import ADVERSARIAL, SETTINGS, STRATA, Answers, ItemTable, Mask, Outcomes

SCHEMA_VERSION = 1
STATISTICS_VERSION = "1"
ALL, MACRO = "all", "macro"

Record = dict[str, Any]


def score(
    table: ItemTable,
    answers: Answers,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    answer_versions: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """The scores.json record: `cells`, `gaps`, `adversarial_drops`, and beside them `threshold_sensitivity`.

    `answer_versions` is {model: what its answer file says of engine, prompt and decoding}, passed through.
    """
    cells = [
        cell
        for model, settings in answers.items()
        for setting in (*SETTINGS, ADVERSARIAL)
        if setting in settings
        for cell in _cells(table, model, setting, settings[setting])
    ]
    gaps, drops, sensitivity = gaps_and_drops(table, answers, seed=seed, draws=draws)
    versions = {"extraction": EXTRACTION_VERSION, "statistics": STATISTICS_VERSION, "seed": seed, "draws": draws}
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {**versions, "answers": {k: dict(v) for k, v in sorted((answer_versions or {}).items())}},
        "cells": cells,
        "gaps": gaps,
        "adversarial_drops": drops,
        "threshold_sensitivity": sensitivity,
    }


def _cells(table: ItemTable, model: str, setting: str, outcomes: Outcomes) -> list[Record]:
    """Every stratum and benchmark of one model and setting that holds an item."""
    records = []
    for stratum in STRATA if table.stratified else STRATA[:1]:
        inside = table.mask(stratum)
        places: list[tuple[str, Mask]] = [(ALL, inside)]
        for code, name in enumerate(table.benchmarks):
            places.append((name, inside & (table.benchmark == code)))
        for name, mask in places:
            if mask.any():
                key = {"model": model, "setting": setting, "stratum": stratum, "benchmark": name}
                records.append({**key, **_cell(table, outcomes, mask)})
        if inside.any():
            key = {"model": model, "setting": setting, "stratum": stratum, "benchmark": MACRO}
            records.append({**key, **_macro(table, outcomes, inside)})
    return records


def _cell(table: ItemTable, outcomes: Outcomes, mask: Mask) -> Record:
    asked = mask & outcomes.asked
    interval = accuracy_interval(outcomes.correct[asked], table.groups[asked])
    return _record(table, outcomes, mask, asked, _mean(outcomes.correct[asked]), interval)


def _macro(table: ItemTable, outcomes: Outcomes, mask: Mask) -> Record:
    """The unweighted mean over benchmarks; the counts are those of all of them together."""
    asked = mask & outcomes.asked
    values, parts = outcomes.correct[asked], table.benchmark[asked]
    interval = macro_interval(values, table.groups[asked], parts)
    record = _record(table, outcomes, mask, asked, _mean_of_means(values, parts), interval)
    answered = asked & (outcomes.no_answer < 1)
    return {
        **record,
        "accuracy_answered": _mean_of_means(outcomes.correct[answered], table.benchmark[answered]),
        "chance": _mean_of_means(table.chance[asked], parts),
    }


def _record(
    table: ItemTable, outcomes: Outcomes, mask: Mask, asked: Mask, accuracy: float | None, interval: Interval | None
) -> Record:
    """`correct`, `no_answer` and `truncated` count items; in `adversarial` they are sums of per-item means."""
    correct, silent = outcomes.correct[asked], outcomes.no_answer[asked]
    truncated = outcomes.truncated[asked]
    answered = len(silent) - float(silent.sum())
    return {
        "n": int(asked.sum()),
        "groups": int((np.bincount(table.groups[asked]) > 0).sum()),
        "not_asked": int(mask.sum() - asked.sum()),
        "correct": _count(correct.sum()),
        "accuracy": accuracy,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "ci_method": interval.method if interval else None,
        "no_answer": _count(silent.sum()),
        "truncated": None if len(truncated) == 0 or np.isnan(truncated).any() else _count(truncated.sum()),
        "accuracy_answered": float(correct.sum()) / answered if answered > 1e-9 else None,
        "chance": _mean(table.chance[asked]),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _mean_of_means(values: np.ndarray, parts: np.ndarray) -> float | None:
    if len(values) == 0:
        return None
    sizes = np.bincount(parts)
    sums = np.bincount(parts, weights=values)
    return float((sums[sizes > 0] / sizes[sizes > 0]).mean())


def _count(total: float) -> int | float:
    """A whole number where it is one; thirds of an item are kept in the adversarial mean."""
    return round(total) if math.isclose(total, round(total), abs_tol=1e-6) else round(float(total), 4)
