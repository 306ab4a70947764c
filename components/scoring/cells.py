"""scores.json from items and graded answers: accuracy cells, knowledge-reasoning gaps, adversarial drops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from components.extraction import EXTRACTION_VERSION
from components.scoring.bootstrap import DRAWS
from components.scoring.gaps.records import gaps_and_drops
from components.scoring.intervals import Interval, accuracy_interval, macro_interval
from components.scoring.outcomes import ADVERSARIAL, SETTINGS, STRATA, Answers, Array, Codes, ItemTable, Mask, Outcomes
from components.scoring.proportions import copy_weights

SCHEMA_VERSION = 1
STATISTICS_VERSION = "2"
ALL, MACRO = "all", "macro"

Record = dict[str, Any]
Mean = Callable[[Array, Array, Codes], float | None]  # of values, weights and benchmarks


def score(
    table: ItemTable,
    answers: Answers,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    answer_versions: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """The scores.json record: `cells`, `gaps`, `adversarial_drops`, and beside them `threshold_sensitivity`.

    A gap whose `above_chance` is not true is of answers that cannot be told from guesses: nothing is answered better.

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
    above = {(c["model"], c["setting"], c["benchmark"]): c["above_chance"] for c in cells if c["stratum"] == ALL}
    for gap in gaps:
        gap["above_chance"] = above[gap["model"], gap["setting"], gap["benchmark"]]
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
    weights = copy_weights(table.groups[asked], table.benchmark[asked])
    interval = accuracy_interval(outcomes.correct[asked], table.groups[asked], weights=weights)
    return _record(table, outcomes, mask, interval, lambda v, w, _: _mean(v, w))


def _macro(table: ItemTable, outcomes: Outcomes, mask: Mask) -> Record:
    """The unweighted mean over benchmarks; the counts are those of all of them together."""
    asked = mask & outcomes.asked
    values, parts, groups = outcomes.correct[asked], table.benchmark[asked], table.groups[asked]
    interval = macro_interval(values, groups, parts, weights=copy_weights(groups, parts))
    return _record(table, outcomes, mask, interval, _mean_of_means)


def _record(table: ItemTable, outcomes: Outcomes, mask: Mask, interval: Interval | None, mean: Mean) -> Record:
    """`correct`, `no_answer` and `truncated` count items; in `adversarial` they are sums of per-item means.

    `accuracy`, `accuracy_answered`, `chance` (1 / options) and `baseline` (what guessing gets at best) count the
    copies of a question in one benchmark as one. `above_chance`: whether the whole interval lies above the baseline.
    `accuracy_unread_right` is what the accuracy would be if every unread answer were right; silence after a prefill is
    not unread, since the prefill then stands.
    """
    asked = mask & outcomes.asked
    correct, silent, truncated = outcomes.correct[asked], outcomes.no_answer[asked], outcomes.truncated[asked]
    kept = np.zeros(len(silent)) if outcomes.silent is None else outcomes.silent[asked]
    parts = table.benchmark[asked]
    weights = copy_weights(table.groups[asked], parts)
    guess = table.chance if table.guess is None else table.guess.baseline
    baseline = mean(guess[asked], weights, parts)
    above = None if interval is None or baseline is None else interval.low > baseline
    return {
        "n": int(asked.sum()),
        "groups": int((np.bincount(table.groups[asked]) > 0).sum()),
        "not_asked": int(mask.sum() - asked.sum()),
        "correct": _count(correct.sum()),
        "accuracy": mean(correct, weights, parts),
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "ci_method": interval.method if interval else None,
        "no_answer": _count(silent.sum()),
        "truncated": None if len(truncated) == 0 or np.isnan(truncated).any() else _count(truncated.sum()),
        "accuracy_unread_right": mean(correct + silent - kept, weights, parts),
        "accuracy_answered": mean(*_answered(correct, silent, weights), parts),
        "chance": mean(table.chance[asked], weights, parts),
        "baseline": baseline,
        "above_chance": above,
    }


def _answered(correct: Array, silent: Array, weights: Array) -> tuple[Array, Array]:
    """Right answers and weights of what was answered: of an item that was in part, that part."""
    given = 1 - silent
    return np.where(given > 1e-9, correct / np.maximum(given, 1e-9), 0.0), weights * np.where(given > 1e-9, given, 0.0)


def _mean(values: Array, weights: Array) -> float | None:
    return float(values @ weights / weights.sum()) if weights.sum() > 0 else None


def _mean_of_means(values: Array, weights: Array, parts: Codes) -> float | None:
    sizes = np.bincount(parts, weights=weights)
    if not (sizes > 0).any():
        return None
    sums = np.bincount(parts, weights=weights * values)
    return float((sums[sizes > 0] / sizes[sizes > 0]).mean())


def _count(total: float) -> int | float:
    """A whole number where it is one; thirds of an item are kept in the adversarial mean."""
    return round(total) if math.isclose(total, round(total), abs_tol=1e-6) else round(float(total), 4)
