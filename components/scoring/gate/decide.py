"""The gate: whether a candidate model replaces the baseline, decided from their answers to the same items.

All rules must hold, each at the level of this look: requiring all keeps a false promotion at most as likely as the
level of one rule (an intersection-union test; Berger 1982, Technometrics 24:295), and the levels of all looks sum to
at most alpha (rules.py): a weekly schedule cannot promote by luck. Differences are judged by the score test of
paired.py, whose unit is the question group. The guard of guard.py errs the other way: it refuses an equal candidate
at most 5 % of the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.errors import InputError
from components.scoring.gate.guard import GUARD_ALPHA, Slices, guard_cells
from components.scoring.gate.paired import Paired, paired
from components.scoring.gate.rules import Rules
from components.scoring.gate.sizes import groups_for_answers, groups_for_equal, groups_for_gain
from components.scoring.intervals import group_sums
from components.scoring.outcomes import ADVERSARIAL, ItemTable, Outcomes

SCHEMA_VERSION = 1
# What both sides' answer files must say alike for a difference to be the model's. Not the extraction: every output is
# read anew by the present rule.
CONDITIONS = ("items_digest", "prompt", "decoding", "engine")
TOO_SMALL = "cannot pass at this size"

Reason = dict[str, Any]
Judged = tuple[Reason, float]  # and how many question groups of equal size it rests on
Side = Mapping[str, Outcomes]  # setting -> outcomes of one model


def decide(
    table: ItemTable,
    sides: Mapping[str, Side],
    baseline: str,
    candidate: str,
    rules: Rules,
    premises: Sequence[Reason] = (),
    slices: Slices | None = None,
) -> dict[str, Any]:
    """The decision record (decision.json). Promotes only if every rule holds; a rule without data does not hold.

    `sides` is {model: {setting: outcomes}}; `premises` are further rules that must hold, already judged; `slices` are
    the items' values in the columns to guard besides benchmarks. Raises InputError when the two names are one.
    """
    if baseline == candidate:
        raise InputError(f"gate: baseline and candidate are both {candidate!r}; a model cannot be compared with itself")
    old, new = sides.get(baseline, {}), sides.get(candidate, {})
    guarded = guard_cells(table, old, new, slices or {}, rules.benchmark_margin)
    judged = [
        _superior(table, old, new, rules),
        _not_inferior(table, old, new, "plain", "knowledge", rules),
        _not_inferior(table, old, new, ADVERSARIAL, "reasoning", rules),
        _not_inferior(table, old, new, ADVERSARIAL, "knowledge", rules),
        _answers(new, table, "plain", rules),
        _answers(new, table, ADVERSARIAL, rules),
    ]
    sizes = [record for reason, groups in judged if (record := _too_small(reason, groups, rules)) is not None]
    reasons = [*premises, *(reason for reason, _ in judged), _guard(guarded, rules), _look(rules)]
    decision = "promote" if all(reason["passed"] for reason in reasons) else "refuse"
    return {
        "schema_version": SCHEMA_VERSION,
        "decision": decision,
        "verdict": TOO_SMALL if sizes else decision,
        "baseline": baseline,
        "candidate": candidate,
        "look": rules.look,
        "alpha": rules.alpha,
        "rules": rules.record(),
        "reasons": reasons,
        "sizes": sizes,
        "guard": guarded,
    }


def conditions(versions: Mapping[str, Mapping[str, str]], baseline: str, candidate: str) -> Reason:
    """Whether both models answered under the same recorded conditions; `versions` is {model: its answers' metadata}.

    Raises InputError where they differ: such a difference could be the prompt's or the engine's, not the model's. Where
    neither side records a condition the gate cannot know, and the rule does not hold.
    """
    old, new = versions.get(baseline, {}), versions.get(candidate, {})
    for name in CONDITIONS:
        if old.get(name) != new.get(name):
            raise InputError(
                f"compare: {name}: {baseline!r} was asked with {old.get(name)!r}, {candidate!r} with "
                f"{new.get(name)!r}; evaluate both again under the same conditions"
            )
    missing = [name for name in CONDITIONS if not old.get(name)]
    if missing:
        text = (
            f"The answers do not record their {', '.join(missing)}: whether both sides were asked alike cannot be "
            "known; JSONL answers say it in a side file, answers.jsonl.meta.json"
        )
        return refusal("same_conditions", text)
    text = f"Both sides were asked alike: the same {', '.join(CONDITIONS)}"
    return {**refusal("same_conditions", text), "passed": True}


def distinct(versions: Mapping[str, Mapping[str, str]], baseline: str, candidate: str) -> Reason:
    """Whether the two names are two models: a candidate with the baseline's weights is the baseline again."""
    old, new = (versions.get(name, {}).get("weights_sha256") for name in (baseline, candidate))
    if old and old == new:
        return refusal(
            "different_models", f"Baseline and candidate have the same weights ({old[:12]}): nothing was trained"
        )
    text = "The two models' weights differ" if old and new else "The answers do not record both models' weights"
    return {**refusal("different_models", text), "passed": True}


def _superior(table: ItemTable, old: Side, new: Side, rules: Rules) -> Judged:
    """Reasoning accuracy is better: one-sided p of "not better" at most the level."""
    rule = "reasoning_superior"
    found = _compare(table, old, new, "plain", "reasoning")
    if isinstance(found, str):
        return refusal(rule, found), 0
    p, bounds = found.p_above(0.0), _bounds(found, 0.0, rules)
    passed = p <= rules.level
    need = found.detectable(rules.level)
    text = (
        f"{_difference('Reasoning accuracy', found, bounds)}, one-sided p = {p:.2g} against {rules.level:.2g}: "
        + ("better" if passed else "not shown to be better")
        + (f". A true gain of {_points(need)} would be found four times in five" if need > 0 else "")
    )
    return _reason(rule, passed, found, 0.0, p, bounds, text), found.groups


def _not_inferior(table: ItemTable, old: Side, new: Side, setting: str, stratum: str, rules: Rules) -> Judged:
    """Accuracy is not worse by the margin: one-sided p of "worse by the margin" at most the level."""
    rule = f"{stratum}_not_inferior" if setting == "plain" else f"{setting}_{stratum}_not_inferior"
    found = _compare(table, old, new, setting, stratum)
    if isinstance(found, str):
        return refusal(rule, found), 0
    p, bounds = found.p_above(-rules.margin), _bounds(found, -rules.margin, rules)
    passed = p <= rules.level
    name = f"{'Adversarial ' if setting == ADVERSARIAL else ''}{stratum} accuracy".capitalize()
    verdict = "not worse by the margin" if passed else "a loss beyond the margin is not excluded"
    text = (
        f"{_difference(name, found, bounds)}, lower bound {_points(bounds[0])} against {_points(-rules.margin)}, "
        f"one-sided p = {p:.2g} against {rules.level:.2g}: {verdict}"
    )
    return _reason(rule, passed, found, -rules.margin, p, bounds, text), found.effective


def _answers(new: Side, table: ItemTable, setting: str, rules: Rules) -> Judged:
    """The candidate answers: the upper confidence bound of its no-answer rate lies under the bound.

    The rate is the mean over question groups. Its bounds are the exact ones of a proportion (Clopper and Pearson 1934,
    Biometrika 26:404): a group's fraction, and the mean of three prefills, spread at most as much as a yes or no.
    """
    rule = f"{setting}_no_answer"
    outcomes = new.get(setting)
    if outcomes is None or not outcomes.asked.any():
        return refusal(rule, f"The candidate has no {setting} answers; {_missing(setting)}"), 0
    asked = outcomes.asked
    # A model that adds nothing to a prefill keeps the wrong statement: wrong, but its answer format is not broken.
    kept = np.zeros(len(asked)) if outcomes.silent is None else outcomes.silent
    sums, sizes = group_sums((outcomes.no_answer - kept)[asked], table.groups[asked])
    missing, groups = float((sums / sizes).sum()), len(sums)
    low, high = _proportion_bounds(missing, groups, rules.level)
    silence = float(kept[asked].mean())
    passed = high < rules.no_answer_bound
    verdict = "rare enough" if passed else "too many, or too few items to exclude it"
    text = (
        f"{setting.capitalize()} answers without a choice: {missing / groups:.1%} of {int(asked.sum())}, "
        f"upper bound {high:.1%} against {rules.no_answer_bound:.1%}: {verdict}"
        + (f" ({silence:.1%} more kept the prefill by silence and do not count here)" if silence else "")
    )
    figures = {"estimate": missing / groups, "bound": rules.no_answer_bound, "ci_low": low, "ci_high": high}
    return {**refusal(rule, text), **figures, "passed": passed, "n": int(sizes.sum()), "groups": groups}, groups


def _proportion_bounds(count: float, n: int, level: float) -> tuple[float, float]:
    """Exact one-sided bounds, each at `level`; a fractional count is rounded away from the bound."""
    from scipy.special import betaincinv

    if not level > 0:
        return 0.0, 1.0
    least, most = math.floor(count + 1e-9), math.ceil(count - 1e-9)
    low = float(betaincinv(least, n - least + 1, level)) if least > 0 else 0.0
    high = float(betaincinv(most + 1, n - most, 1 - level)) if most < n else 1.0
    return low, high


def _guard(cells: Sequence[Mapping[str, Any]], rules: Rules) -> Reason:
    """No benchmark, and no value of a guarded column, is shown to be worse by more than the benchmark margin."""
    rule = "benchmark_guard"
    if not cells:
        text = "No benchmark has enough questions that both models answered to show a loss on it"
        return {**refusal(rule, text), "passed": True}
    lost, first = [cell for cell in cells if cell["lost"]], cells[0]
    shown = min(lost, key=lambda cell: cell["estimate"]) if lost else first
    where = shown["value"] if shown["column"] == "dataset_name" else f"{shown['column']} {shown['value']}"
    text = (
        f"{'Largest loss shown' if lost else 'Nearest to a loss'} among {len(cells)} benchmarks and settings: {where}, "
        f"{shown['setting']}: {_points(shown['estimate'])} on {shown['n']} items, p = {shown['p_holm']:.2g} after "
        f"Holm's adjustment against {GUARD_ALPHA:g}: "
        + (f"worse by more than {_points(rules.benchmark_margin)[1:]}" if lost else "no loss beyond the margin shown")
    )
    figures = {name: shown[name] for name in ("estimate", "ci_low", "ci_high", "n", "groups")}
    bound = {"bound": -rules.benchmark_margin, "p": shown["p_holm"]}
    return {**refusal(rule, text), **figures, **bound, "passed": not lost}


def _too_small(reason: Reason, effective: float, rules: Rules) -> dict[str, Any] | None:
    """What a failed rule lacks where even identical answers would fail it; also said in the reason's text.

    `effective` is how many groups of equal size the rule rests on, fewer than there are where some are large.
    """
    rule, groups = reason["rule"], reason["groups"]
    if reason["passed"] or not groups or not rules.level > 0:
        return None
    if rule.endswith("_superior"):
        least, what = groups_for_gain(rules.level), "a gain on every question"
    elif rule.endswith("_not_inferior"):
        least, what = groups_for_equal(rules.level, rules.margin), "identical answers"
    else:
        least, what = groups_for_answers(rules.level, rules.no_answer_bound), "a model that always answers"
    if least is None or effective >= least:
        return None
    needed = math.ceil(least * groups / effective)
    reason["text"] += f". It {TOO_SMALL}: {what} would be refused too on fewer than {needed} questions ({groups} here)"
    return {"rule": rule, "groups": groups, "needed": needed}


def _look(rules: Rules) -> Reason:
    rest = f"decision number {rules.look} against this baseline on these items"
    if not rules.level > 0:
        text = (
            f"This would be {rest}, and the schedule has {rules.horizon}: no error is left to spend; rotate the sealed "
            "questions or change the baseline"
        )
        return {**refusal("look", text), "estimate": rules.look, "bound": 0.0}
    text = (
        f"{rest.capitalize()}: each rule is held to level {rules.level:.2g}, so that all decisions together promote a "
        f"model that is no better with probability at most {rules.alpha:g}"
    )
    return {**refusal("look", text), "passed": True, "estimate": rules.look, "bound": rules.level}


def _missing(setting: str) -> str:
    """What to do about answers that are not there: one of three openings' answers missing is all of them missing."""
    if setting == "plain":
        return "evaluate it in that setting"
    return "evaluate it after all three openings (adversarial_0, adversarial_1 and adversarial_2)"


def _compare(table: ItemTable, old: Side, new: Side, setting: str, stratum: str) -> Paired | str:
    """The paired comparison in one cell, or in words why there is none."""
    mask = table.mask(stratum)
    if not mask.any():
        return f"No item is marked as {stratum}: stratify the items (or give some of both strata) before comparing"
    values = []
    for name, side in (("baseline", old), ("candidate", new)):
        values.append(side[setting].correct[mask] if setting in side else np.empty(0))
        if np.isnan(values[-1]).all():
            return f"The {name} has no {setting} answers to {stratum} items; {_missing(setting)}"
    one_sided = int((np.isnan(values[0]) != np.isnan(values[1])).sum())
    if one_sided:
        return (
            f"{one_sided} {stratum} items were put to only one of the two models ({setting}); "
            "evaluate both on the same items"
        )
    found = paired(values[1], values[0], table.groups[mask])
    if found is None or found.groups < 2:
        return f"Fewer than two {stratum} questions were put to both models ({setting}): too few to decide anything"
    return found


def _bounds(found: Paired, bound: float, rules: Rules) -> tuple[float, float]:
    """One-sided bounds at the level; the lower one exceeds `bound` only where the rule that tests it holds."""
    return found.lower(rules.level, bound), found.upper(rules.level)


def _reason(
    rule: str, passed: bool, found: Paired, bound: float, p: float, bounds: tuple[float, float], text: str
) -> Reason:
    figures = {"estimate": found.estimate, "bound": bound, "ci_low": bounds[0], "ci_high": bounds[1], "p": p}
    return {**refusal(rule, text), **figures, "passed": passed, "n": found.n, "groups": found.groups}


def refusal(rule: str, text: str) -> Reason:
    """The record of a rule that could not be applied: it does not hold, and `text` says why."""
    figures = dict.fromkeys(("estimate", "bound", "ci_low", "ci_high", "p"))
    return {"rule": rule, "passed": False, **figures, "n": 0, "groups": 0, "text": text}


def _difference(name: str, found: Paired, bounds: tuple[float, float]) -> str:
    return (
        f"{name}: candidate {_points(found.estimate)} against the baseline ({_points(bounds[0])} to "
        f"{_points(bounds[1])}) on {found.n} items in {found.groups} groups"
    )


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f} points"
