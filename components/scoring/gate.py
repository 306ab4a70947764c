"""The gate: whether a candidate model replaces the baseline, decided from their answers to the same items.

All rules must hold, each at level alpha_k: requiring all keeps a false promotion at most as likely as the level of
one rule (an intersection-union test; Berger 1982, Technometrics 24:295). The k-th decision against one baseline on
one set of items uses alpha_k = alpha / (k (k + 1)), which sums to alpha over every k: a weekly schedule cannot
promote by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.errors import InputError
from components.scoring.intervals import Paired, accuracy_interval, paired
from components.scoring.outcomes import ADVERSARIAL, ItemTable, Outcomes

SCHEMA_VERSION = 1
# What both sides' answer files must say alike for a difference to be the model's.
CONDITIONS = ("items_digest", "prompt", "decoding", "engine", "extraction")

Reason = dict[str, Any]
Side = Mapping[str, Outcomes]  # setting -> outcomes of one model


@dataclass(frozen=True)
class Rules:
    """alpha: chance of any false promotion over all looks; margin: how much worse (a fraction) still counts as not
    worse; no_answer_bound: the share of unanswered items that must be excluded; look: the how-manieth decision this
    is, from 1."""

    alpha: float = 0.05
    margin: float = 0.03
    no_answer_bound: float = 0.1
    look: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1 or not 0 < self.margin < 1 or not 0 < self.no_answer_bound <= 1 or self.look < 1:
            raise InputError(f"gate: {self}: alpha, margin and no_answer_bound are fractions above 0; look starts at 1")

    @property
    def level(self) -> float:
        return self.alpha / (self.look * (self.look + 1))


def decide(
    table: ItemTable,
    sides: Mapping[str, Side],
    baseline: str,
    candidate: str,
    rules: Rules,
    premises: Sequence[Reason] = (),
) -> dict[str, Any]:
    """The decision record (decision.json). Promotes only if every rule holds; a rule without data does not hold.

    `sides` is {model: {setting: outcomes}}; `premises` are further rules that must hold, already judged. Raises
    InputError when the two names are one.
    """
    if baseline == candidate:
        raise InputError(f"gate: baseline and candidate are both {candidate!r}; a model cannot be compared with itself")
    old, new = sides.get(baseline, {}), sides.get(candidate, {})
    reasons = [
        *premises,
        _superior(table, old, new, rules),
        _not_inferior(table, old, new, "plain", "knowledge", rules),
        _not_inferior(table, old, new, ADVERSARIAL, "reasoning", rules),
        _not_inferior(table, old, new, ADVERSARIAL, "knowledge", rules),
        _answers(table, new, "plain", rules),
        _answers(table, new, ADVERSARIAL, rules),
        _look(rules),
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "decision": "promote" if all(reason["passed"] for reason in reasons) else "refuse",
        "baseline": baseline,
        "candidate": candidate,
        "look": rules.look,
        "alpha": rules.alpha,
        "reasons": reasons,
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
            f"The answers do not record their {', '.join(missing)}: whether both sides were asked alike cannot be known"
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


def _superior(table: ItemTable, old: Side, new: Side, rules: Rules) -> Reason:
    """Reasoning accuracy is better: one-sided p of "not better" at most the level."""
    rule = "reasoning_superior"
    found = _compare(table, old, new, "plain", "reasoning")
    if isinstance(found, str):
        return refusal(rule, found)
    p = found.p_above(0.0)
    passed = p <= rules.level
    need = found.detectable(rules.level)
    text = (
        f"{_difference('Reasoning accuracy', found, rules)}, one-sided p = {p:.2g} against {rules.level:.2g}: "
        + ("better" if passed else "not shown to be better")
        + ("" if np.isnan(need) else f". A true gain of {_points(need)} would be found four times in five")
    )
    return _reason(rule, passed, found, 0.0, p, rules, text)


def _not_inferior(table: ItemTable, old: Side, new: Side, setting: str, stratum: str, rules: Rules) -> Reason:
    """Accuracy is not worse by the margin: the one-sided lower bound of the difference lies above -margin."""
    rule = f"{stratum}_not_inferior" if setting == "plain" else f"{setting}_{stratum}_not_inferior"
    found = _compare(table, old, new, setting, stratum)
    if isinstance(found, str):
        return refusal(rule, found)
    low = found.lower(rules.level)
    passed = low > -rules.margin
    name = f"{'Adversarial ' if setting == ADVERSARIAL else ''}{stratum} accuracy".capitalize()
    verdict = "not worse by the margin" if passed else "a loss beyond the margin is not excluded"
    text = f"{_difference(name, found, rules)}, lower bound {_points(low)} against {_points(-rules.margin)}: {verdict}"
    return _reason(rule, passed, found, -rules.margin, found.p_above(-rules.margin), rules, text)


def _answers(table: ItemTable, new: Side, setting: str, rules: Rules) -> Reason:
    """The candidate answers: the upper confidence bound of its no-answer rate lies under the bound."""
    rule = f"{setting}_no_answer"
    outcomes = new.get(setting)
    if outcomes is None or not outcomes.asked.any():
        return refusal(rule, f"The candidate has no {setting} answers; evaluate it in that setting")
    asked = outcomes.asked
    values, groups = outcomes.no_answer[asked], table.groups[asked]
    interval = accuracy_interval(values, groups, confidence=1 - 2 * rules.level)
    assert interval is not None, rule
    rate, passed = float(values.mean()), interval.high < rules.no_answer_bound
    verdict = "rare enough" if passed else "too many, or too few items to exclude it"
    text = (
        f"{setting.capitalize()} answers without a choice: {rate:.1%} of {len(values)}, upper bound "
        f"{interval.high:.1%} against {rules.no_answer_bound:.1%}: {verdict}"
    )
    record = {"estimate": rate, "bound": rules.no_answer_bound, "ci_low": interval.low, "ci_high": interval.high}
    return {
        **refusal(rule, text),
        **record,
        "passed": passed,
        "n": len(values),
        "groups": int((np.bincount(groups) > 0).sum()),
    }


def _look(rules: Rules) -> Reason:
    text = (
        f"Decision number {rules.look} against this baseline on these items: each rule is held to level "
        f"{rules.level:.2g}, so that all decisions together promote a model that is no better with probability at "
        f"most {rules.alpha:g}"
    )
    return {**refusal("look", text), "passed": True, "estimate": rules.look, "bound": rules.level}


def _compare(table: ItemTable, old: Side, new: Side, setting: str, stratum: str) -> Paired | str:
    """The paired comparison in one cell, or in words why there is none."""
    mask = table.mask(stratum)
    if not mask.any():
        return f"No item is marked as {stratum}: stratify the items (or give some of both strata) before comparing"
    values = []
    for name, side in (("baseline", old), ("candidate", new)):
        values.append(side[setting].correct[mask] if setting in side else np.empty(0))
        if np.isnan(values[-1]).all():
            return f"The {name} has no {setting} answers to {stratum} items; evaluate it on them in that setting"
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


def _reason(rule: str, passed: bool, found: Paired, bound: float, p: float, rules: Rules, text: str) -> Reason:
    """`ci_low` and `ci_high` are the one-sided bounds at the level: the rule reads the former."""
    low, high = found.lower(rules.level), found.upper(rules.level)
    figures = {"estimate": found.estimate, "bound": bound, "ci_low": low, "ci_high": high, "p": p}
    return {**refusal(rule, text), **figures, "passed": passed, "n": found.n, "groups": found.groups}


def refusal(rule: str, text: str) -> Reason:
    """The record of a rule that could not be applied: it does not hold, and `text` says why."""
    figures = dict.fromkeys(("estimate", "bound", "ci_low", "ci_high", "p"))
    return {"rule": rule, "passed": False, **figures, "n": 0, "groups": 0, "text": text}


def _difference(name: str, found: Paired, rules: Rules) -> str:
    low, high = found.lower(rules.level), found.upper(rules.level)
    return (
        f"{name}: candidate {_points(found.estimate)} against the baseline ({_points(low)} to {_points(high)}) "
        f"on {found.n} items in {found.groups} groups"
    )


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f} points"
