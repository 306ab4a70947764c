"""Knowledge-reasoning gaps (knowledge accuracy minus reasoning accuracy) of every model and setting, as records.

Which question each `weighting` answers:

- hard: the difference between the items called one and the other; with a classifier's calls it is attenuated, and
  `attenuation` says by which factor, `bound_low` and `bound_high` what the true gap may be whatever the calls' errors
  depend on (both from calibrated probabilities);
- slope, matrix: the difference between true knowledge and true reasoning questions, if the classifier's errors do not
  depend on whether the model is right (`label_error`);
- expert: the difference by the experts' labels, on the items that have one; `hard_minus_expert` and
  `slope_minus_expert` are the classifier's gap on those items less theirs, the latter a test of the slope's assumption;
- dsl: the difference by true labels, from a labelled subsample (`labelled`); no assumption on the classifier.

`adjustment` none is in accuracy; chance subtracts what guessing gets (the better of 1 / options and the commonest key);
letters subtracts what this model's own letters would get if they did not depend on the question, so that every way of
guessing is at zero. Kinds: `strata_gaps`; kitagawa_within and kitagawa_between split the pooled hard gap (`kitagawa`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.questions.askings import SETTINGS
from components.scoring.gaps.drops import drop_records
from components.scoring.gaps.labels import drawn_records, expert_records, slope_records
from components.scoring.gaps.resampled import Contrast, Resampled
from components.scoring.gaps.strata import (
    KINDS,
    MACRO_GROUPS,
    Sides,
    attenuations,
    gap_records,
    hard_sides,
    side_weights,
)
from components.scoring.outcomes import ADVERSARIAL, Answers, ItemTable, Outcomes
from components.scoring.proportions import holm

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Record = dict[str, Any]

WEIGHTINGS = ("hard", "slope", "matrix", "expert", "hard_minus_expert", "slope_minus_expert", "dsl")
ADJUSTMENTS = ("none", "chance", "letters")
THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
FIELDS = ("attenuation", "bound_low", "bound_high")


def gaps_and_drops(
    table: ItemTable, answers: Answers, *, seed: int, draws: int
) -> tuple[list[Record], list[Record], list[Record]]:
    """(gaps, drops, threshold sensitivity) of every model, as records for scores.json.

    `p` is two-sided against no difference; `p_holm` is adjusted for the models that stand beside one another in the
    same place, or for the thresholds of one model.
    """
    asked = [(m, s, own[s]) for m, own in answers.items() for s in (*SETTINGS, ADVERSARIAL) if s in own]
    records = {(m, s): _closed_records(table, {"model": m, "setting": s}, o) for m, s, o in asked}
    _add_resampled(table, asked, records, seed, draws)
    gaps = [{**dict.fromkeys(FIELDS), **record} for found in records.values() for record in found]
    shifted = [r for m, own in answers.items() if "plain" in own for r in _threshold_records(table, m, own["plain"])]
    paired = {m: own for m, own in answers.items() if "plain" in own and ADVERSARIAL in own}
    drops = [record for model, own in paired.items() for record in drop_records(table, model, own)]
    _adjust(gaps, ("setting", "weighting", "adjustment", "kind", "benchmark"))
    _adjust(shifted, ("model", "kind"))
    _adjust(drops, ("stratum", "benchmark"))
    return gaps, drops, shifted


def truths(table: ItemTable) -> Array:
    """The probability that an item takes reasoning: the classifier's or, where it was not asked, the expert's label."""
    if table.expert is None:
        return table.prob
    return np.where(np.isnan(table.prob), table.expert, table.prob)


def letter_baseline(table: ItemTable, outcomes: Outcomes) -> Array:
    """What this model's own letters get on average where they do not depend on the question; per item.

    Cohen's chance agreement of answers and keys, by benchmark and number of options. One who always answers "yes" is
    at the share of that key, one who draws letters evenly at 1 / options.
    """
    assert outcomes.expected is not None
    _, cell = np.unique(table.benchmark + 1j * table.chance, return_inverse=True)
    asked = outcomes.asked
    sums = np.bincount(cell[asked], weights=outcomes.expected[asked], minlength=int(cell.max()) + 1)
    return (sums / np.maximum(np.bincount(cell[asked], minlength=len(sums)), 1))[cell]


def _closed_records(table: ItemTable, key: Record, outcomes: Outcomes) -> list[Record]:
    """All gaps of one model and setting that need no draws; the raw hard ones first."""
    values = np.nan_to_num(outcomes.correct)
    baselines: dict[str, Array | None] = {"none": None}
    if table.guess is not None:
        baselines["chance"] = table.guess.baseline
    if outcomes.expected is not None:
        baselines["letters"] = letter_baseline(table, outcomes)
    records = []
    if table.stratified:
        sides = hard_sides(table, outcomes)
        factors = attenuations(table, sides, truths(table))
        for name, baseline in baselines.items():
            own = gap_records(table, {**key, "weighting": "hard", "adjustment": name}, values, sides, baseline)
            records += [{**r, "attenuation": factors.get((r["benchmark"], r["kind"]))} for r in own]
    for name in ("none", "chance"):
        if name in baselines:
            records += slope_records(
                table, {**key, "weighting": "slope", "adjustment": name}, outcomes, baselines[name]
            )
    return [*records, *expert_records(table, key, outcomes, baselines), *drawn_records(table, key, outcomes)]


def _threshold_records(table: ItemTable, model: str, outcomes: Outcomes) -> list[Record]:
    """The hard gap again for other thresholds on reasoning_prob: how much it hangs on that one choice."""
    scored = outcomes.asked & ~np.isnan(table.prob)
    values = np.nan_to_num(outcomes.correct)
    records = []
    for threshold in THRESHOLDS if scored.any() else ():
        above = scored & (np.nan_to_num(table.prob) >= threshold)
        if min(above.sum(), (scored & ~above).sum()) >= MACRO_GROUPS:
            share = float(above.sum() / scored.sum())
            key = {"model": model, "setting": "plain", "threshold": threshold, "reasoning_share": share}
            sides = Sides(scored & ~above, above)
            factors = attenuations(table, sides, table.prob)
            found = gap_records(table, key, values, sides, each=False)
            records += [{**r, "attenuation": factors.get(("all", r["kind"]))} for r in found if r["kind"] in KINDS[:2]]
    return records


def _add_resampled(
    table: ItemTable,
    asked: list[tuple[str, str, Outcomes]],
    records: dict[tuple[str, str], list[Record]],
    seed: int,
    draws: int,
) -> None:
    """Bounds beside the raw hard gaps, and the records that need draws after them."""
    contrasts = []
    for model, setting, outcomes in asked if table.stratified else ():
        sides = hard_sides(table, outcomes)
        weights = side_weights(table, sides)[1]
        knowledge, reasoning = (np.where(side, weights, 0.0) for side in (sides.knowledge, sides.reasoning))
        key = {"model": model, "setting": setting}
        if sides.knowledge.any() and sides.reasoning.any():
            contrasts.append(Contrast(key, np.nan_to_num(outcomes.correct), knowledge, reasoning, truths(table)))
    if not contrasts:
        return
    resampled = Resampled(table, contrasts, seed, draws)
    codes: dict[str, int | None] = {"all": None, **{name: code for code, name in enumerate(table.benchmarks)}}
    for place, contrast in enumerate(contrasts):
        own = records[contrast.key["model"], contrast.key["setting"]]
        for record in own:
            whole = record["kind"] == "pooled" or record["benchmark"] != "all"
            if whole and (record["weighting"], record["adjustment"]) == ("hard", "none"):
                record |= resampled.bounds(place, codes[record["benchmark"]])
        raw = {**contrast.key, "adjustment": "none"}
        own += [{**raw, "weighting": "hard", **r} for r in resampled.split(place)]
        own += [{**raw, "weighting": "matrix", **r} for r in resampled.corrected(place)]


def _adjust(records: list[Record], family: tuple[str, ...]) -> None:
    """Adds `p_holm` to every record, by Holm over those that are alike in the fields of `family`."""
    families: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        record["p_holm"] = None
        if record["p"] is not None:
            families.setdefault(tuple(record[name] for name in family), []).append(record)
    for members in families.values():
        for record, p in zip(members, holm([m["p"] for m in members]), strict=True):
            record["p_holm"] = p
