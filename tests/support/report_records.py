"""Records of scores.json and decision.json with figures of a test's own: made by the scoring, then changed in place.

A field that the scoring does not write cannot be set, so no test can invent one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.questions.askings import SETTINGS
from components.questions.items import Item
from components.report.scores import Scores
from components.scoring.cells import score
from components.scoring.gate.decide import Rules, decide
from components.scoring.outcomes import grade, item_table

Record = dict[str, Any]


def _made() -> tuple[Record, Record]:
    options = {"A": "1", "B": "2"}
    items = [
        Item(f"q{n}", f"Question {n}?", options, "A", "medqa", is_reasoning=n % 2 == 0, reasoning_prob=n / 8)
        for n in range(8)
    ]
    rows = [
        {"item_id": item.id, "model": model, "setting": setting, "output": "A" if n % 3 else "B"}
        for model in ("base", "new")
        for setting in SETTINGS
        for n, item in enumerate(items)
    ]
    table, graded = item_table(items), grade(items, ((f"row {n}", row) for n, row in enumerate(rows)))
    return score(table, graded, draws=100), decide(table, graded, "base", "new", Rules())


_SCORES, _DECISION = _made()


def cell(**changes: Any) -> Record:
    """Ten questions, half of them right, of the model `m`: plain, all strata, all benchmarks unless changed."""
    counts = {"n": 10, "groups": 10, "no_answer": 1, "truncated": 0}
    figures = {"accuracy": 0.5, "ci_low": 0.3, "ci_high": 0.7, "chance": 0.25, "baseline": 0.25}
    answered = {"accuracy_answered": 5 / 9, "accuracy_unread_right": 0.6}
    place = {"model": "m", "setting": "plain", "stratum": "all", "benchmark": "all"}
    made = changed(_SCORES["cells"][0], **{**place, **counts, **figures, **answered, **changes})
    above = None if made["ci_low"] is None else made["ci_low"] > made["baseline"]
    return {**made, "above_chance": changes.get("above_chance", above)}


def gap(estimate: float, low: float, high: float, **changes: Any) -> Record:
    """Knowledge minus reasoning of the model `m`, plain, pooled with hard strata unless changed."""
    place = {"model": "m", "setting": "plain", "benchmark": "all", "kind": "pooled", "weighting": "hard"}
    figures = {"estimate": estimate, "ci_low": low, "ci_high": high, "attenuation": None}
    p = 0.01 if low > 0 or high < 0 else 0.5
    made = changed(_SCORES["gaps"][0], **{**place, **figures, "p": p, "p_holm": p, **changes})
    assert made["adjustment"] == changes.get("adjustment", "none")
    return made


def drop(estimate: float, low: float, high: float, **changes: Any) -> Record:
    """Plain minus adversarial of the model `m` over all questions, unless changed."""
    place = {"model": "m", "stratum": "all", "benchmark": "all"}
    figures = {"estimate": estimate, "ci_low": low, "ci_high": high}
    return changed(_SCORES["adversarial_drops"][0], **{**place, **figures, **changes})


def scores(cells: Sequence[Record], gaps: Sequence[Record] = (), drops: Sequence[Record] = ()) -> Scores:
    """A scores.json of these records, as the report looks things up in it."""
    return Scores({**_SCORES, "cells": cells, "gaps": gaps, "adversarial_drops": drops, "threshold_sensitivity": []})


def reason(rule: str, passed: bool, *figures: float, **changes: Any) -> Record:
    """A reason of the gate; `figures` are its estimate and interval, none where none are given."""
    values = dict(zip(("estimate", "ci_low", "ci_high"), figures or (None,) * 3, strict=True))
    known = {"bound": 0.0, "p": 0.5, "n": 10, "groups": 10, "text": ""}
    return changed(_DECISION["reasons"][0], **{"rule": rule, "passed": passed, **values, **known, **changes})


def decision(*reasons: Record, verdict: str = "refuse", **changes: Any) -> Record:
    """A decision on `new` against `base` for these reasons, on enough questions unless changed."""
    told = {"decision": verdict, "verdict": verdict, "sizes": [], "reasons": list(reasons)}
    return changed(_DECISION, **{**told, **changes})


def changed(record: Record, **changes: Any) -> Record:
    """The record with other values; AssertionError for a field that it does not have."""
    assert changes.keys() <= record.keys(), f"no such field: {', '.join(changes.keys() - record.keys())}"
    return {**record, **changes}
