"""The gate promotes what it should, refuses with a reason what it should not, and is rarely fooled by luck.

The simulations decide thousands of pairs whose true difference is known; test_gate_mutations breaks the gate on
purpose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from components.errors import InputError
from components.scoring.gate import decide as gate
from components.scoring.gate.decide import Rules, conditions, decide, distinct
from components.scoring.outcomes import ADVERSARIAL, Outcomes
from tests.scoring.gate_simulation import Truth, alike, answers, bound, promotions, quick, world

MARGIN = Rules().margin
AT_MARGIN = Truth(reasoning=0.05, knowledge=-MARGIN)
AT_ADVERSARIAL_MARGIN = Truth(reasoning=0.05, adversarial_reasoning=-MARGIN, adversarial_knowledge=-MARGIN)
GOOD = Truth(reasoning=0.15, knowledge=0.05, adversarial_reasoning=0.05, adversarial_knowledge=0.05)


def reasons(decision: dict) -> dict[str, dict]:
    return {reason["rule"]: reason for reason in decision["reasons"]}


@pytest.fixture(scope="module")
def w():
    return world(np.random.default_rng(1))


@pytest.fixture(scope="module")
def sides(w) -> dict[str, dict[str, Outcomes]]:
    rng = np.random.default_rng(2)
    return {"old": answers(rng, w), "same": answers(rng, w), "good": answers(rng, w, GOOD)}


def test_promotes_a_better_model_and_says_why(w, sides) -> None:
    decision = decide(w.table, sides, "old", "good", Rules())
    assert decision["decision"] == "promote"
    assert (decision["baseline"], decision["candidate"], decision["look"], decision["alpha"]) == (
        "old",
        "good",
        1,
        0.05,
    )
    found = reasons(decision)
    assert set(found) == {
        "reasoning_superior",
        "knowledge_not_inferior",
        "adversarial_reasoning_not_inferior",
        "adversarial_knowledge_not_inferior",
        "plain_no_answer",
        "adversarial_no_answer",
        "benchmark_guard",
        "look",
    }
    superior = found["reasoning_superior"]
    reasoning = w.table.mask("reasoning")
    gain = (sides["good"]["plain"].correct - sides["old"]["plain"].correct)[reasoning].mean()
    assert superior["estimate"] == pytest.approx(gain)
    assert superior["n"] == superior["groups"] == reasoning.sum()
    assert superior["p"] <= 0.025 and superior["ci_low"] > 0 == superior["bound"]
    assert f"{100 * gain:+.1f} points" in superior["text"]


def test_refuses_a_model_that_is_no_better(w, sides) -> None:
    decision = decide(w.table, sides, "old", "same", Rules())
    assert decision["decision"] == "refuse"
    assert "not shown to be better" in reasons(decision)["reasoning_superior"]["text"]


def test_a_model_is_not_compared_with_itself(w, sides) -> None:
    with pytest.raises(InputError, match="cannot be compared with itself"):
        decide(w.table, sides, "old", "old", Rules())
    again = decide(w.table, {**sides, "copy": sides["old"]}, "old", "copy", Rules())
    assert again["decision"] == "refuse"
    assert reasons(again)["reasoning_superior"]["p"] == 1.0


def test_each_loss_beyond_the_margin_refuses_by_its_own_rule(w) -> None:
    rng = np.random.default_rng(3)
    old = answers(rng, w)
    for rule, truth in {
        "knowledge_not_inferior": Truth(0.15, knowledge=-0.14, adversarial_reasoning=0.1, adversarial_knowledge=0.1),
        "adversarial_reasoning_not_inferior": Truth(0.15, 0.1, adversarial_reasoning=-0.1, adversarial_knowledge=0.1),
        "adversarial_knowledge_not_inferior": Truth(0.15, 0.1, adversarial_reasoning=0.1, adversarial_knowledge=-0.1),
    }.items():
        decision = decide(w.table, {"old": old, "new": answers(rng, w, truth)}, "old", "new", Rules())
        assert [r["rule"] for r in decision["reasons"] if not r["passed"]] == [rule]


def test_a_model_that_stops_answering_is_refused(w, sides) -> None:
    good = sides["good"]
    silent = np.zeros(len(w.table))
    silent[: int(0.12 * len(silent))] = 1
    quiet = {**good, "plain": Outcomes(good["plain"].correct, silent, silent)}
    decision = decide(w.table, {"old": sides["old"], "new": quiet}, "old", "new", Rules())
    assert [r["rule"] for r in decision["reasons"] if not r["passed"]] == ["plain_no_answer"]
    assert reasons(decision)["plain_no_answer"]["estimate"] == pytest.approx(0.12)


def test_no_answer_bound_must_be_excluded_not_just_met(w, sides) -> None:
    """8 % of few items does not show that fewer than 10 % go unanswered."""
    good = sides["good"]
    silent = (np.arange(len(w.table)) % 100 < 8).astype(float)
    quiet = {**good, "plain": Outcomes(good["plain"].correct, silent, silent)}
    verdicts = [
        reasons(decide(w.table, {"old": sides["old"], "new": quiet}, "old", "new", rules))["plain_no_answer"]["passed"]
        for rules in (Rules(), Rules(look=26), Rules(no_answer_bound=0.12))
    ]
    assert verdicts == [True, False, True]


@pytest.mark.parametrize("look", [1, 2, 3, 26])
def test_level_of_the_kth_look(w, sides, look: int) -> None:
    decision = decide(w.table, sides, "old", "good", Rules(look=look))
    spent = reasons(decision)["look"]
    assert spent["bound"] == pytest.approx(0.05 / (look * (look + 1)))
    assert spent["estimate"] == decision["look"] == look and f"number {look} " in spent["text"]


def test_levels_sum_to_alpha() -> None:
    assert sum(Rules(look=k).level for k in range(1, 20_000)) == pytest.approx(0.05, rel=1e-4)


def test_a_gain_that_the_first_look_accepts_is_refused_at_the_26th(w) -> None:
    rng = np.random.default_rng(6)
    old, new = answers(rng, w), answers(rng, w, Truth(0.06, 0.05, 0.05, 0.05))
    first, late = (decide(w.table, {"old": old, "new": new}, "old", "new", Rules(look=k)) for k in (1, 26))
    p = reasons(first)["reasoning_superior"]["p"]
    assert Rules(look=26).level < p <= Rules().level, "the seed gives a gain between the two levels"
    assert reasons(first)["reasoning_superior"]["passed"] and not reasons(late)["reasoning_superior"]["passed"]


def test_missing_cells_refuse_with_a_reason(w, sides) -> None:
    plain_only = {"plain": sides["old"]["plain"]}
    decision = decide(w.table, {"old": plain_only, "new": sides["good"]}, "old", "new", Rules())
    text = reasons(decision)["adversarial_reasoning_not_inferior"]["text"]
    assert decision["decision"] == "refuse" and "baseline has no adversarial answers" in text
    assert "all three openings" in text
    unstratified = world(np.random.default_rng(1)).table
    unstratified.masks["knowledge"][:] = unstratified.masks["reasoning"][:] = False  # type: ignore[index]
    decision = decide(unstratified, {"old": sides["old"], "new": sides["good"]}, "old", "new", Rules())
    assert "stratify" in reasons(decision)["reasoning_superior"]["text"]
    nothing = decide(w.table, {}, "old", "new", Rules())
    failed = {r["rule"] for r in nothing["reasons"] if not r["passed"]}
    assert failed == set(reasons(nothing)) - {"look", "benchmark_guard"}, "without answers no loss is shown"
    assert all(r["estimate"] is None for r in nothing["reasons"] if not r["passed"])


def test_too_few_questions_are_called_that_with_the_number_that_could() -> None:
    small = world(np.random.default_rng(8), items=150)
    old = answers(np.random.default_rng(9), small)
    decision = decide(small.table, {"old": old, "copy": old}, "old", "copy", Rules())
    assert decision["decision"] == "refuse" and decision["verdict"] == "cannot pass at this size"
    sizes = {record["rule"]: record for record in decision["sizes"]}
    assert set(sizes) == {
        f"{rule}_not_inferior" for rule in ("knowledge", "adversarial_knowledge", "adversarial_reasoning")
    }
    assert sizes["knowledge_not_inferior"]["needed"] == 126 > sizes["knowledge_not_inferior"]["groups"]
    assert "cannot pass at this size" in reasons(decision)["knowledge_not_inferior"]["text"]
    many = world(np.random.default_rng(8), items=600)
    old = answers(np.random.default_rng(9), many)
    decision = decide(many.table, {"old": old, "copy": old}, "old", "copy", Rules())
    assert (decision["verdict"], decision["sizes"]) == ("refuse", [])
    assert [r["rule"] for r in decision["reasons"] if not r["passed"]] == ["reasoning_superior"]


def test_a_few_large_groups_weigh_less_than_they_count() -> None:
    """150 questions, 30 of them in five copies: identical answers need more than 126 questions there."""
    sizes = np.where(np.arange(150) < 30, 5, 1)
    reasoning = np.zeros(int(sizes.sum()))
    table = replace(
        world(np.random.default_rng(1), items=len(reasoning)).table,
        groups=np.repeat(np.arange(150), sizes),
        masks={"all": reasoning == 0, "knowledge": reasoning == 0, "reasoning": reasoning == 1},
    )
    side = {"plain": Outcomes(np.ones(len(reasoning)), reasoning, reasoning)}
    decision = decide(table, {"old": side, "new": side}, "old", "new", Rules())
    record = next(record for record in decision["sizes"] if record["rule"] == "knowledge_not_inferior")
    assert record["groups"] == 150 and record["needed"] > 150


def test_after_the_horizon_nothing_passes(w, sides) -> None:
    last, after = (
        decide(w.table, sides, "old", "good", Rules(look=look, schedule="horizon", horizon=3)) for look in (3, 4)
    )
    assert last["decision"] == "promote" and after["decision"] == "refuse"
    assert not reasons(after)["look"]["passed"] and "no error is left" in reasons(after)["look"]["text"]
    assert last["rules"]["level"]["value"] == pytest.approx(0.05 / 3)


def test_the_rate_of_silence_has_exact_bounds() -> None:
    for count, n in ((0, 40), (8, 100), (40, 40)):
        low, high = gate._proportion_bounds(count, n, 0.025)
        expected = stats.binomtest(count, n).proportion_ci(0.95, method="exact")
        assert (low, high) == pytest.approx((expected.low, expected.high))
    assert gate._proportion_bounds(7.4, 100, 0.025)[1] == gate._proportion_bounds(8, 100, 0.025)[1]


def test_items_put_to_one_side_only_refuse(w, sides) -> None:
    partial = sides["old"]["plain"].correct.copy()
    partial[::2] = np.nan
    old = {**sides["old"], "plain": Outcomes(partial, partial, partial)}
    decision = decide(w.table, {"old": old, "new": sides["good"]}, "old", "new", Rules())
    assert "only one of the two models" in reasons(decision)["reasoning_superior"]["text"]


def test_conditions() -> None:
    alike = dict.fromkeys(gate.CONDITIONS, "1")
    assert conditions({"a": alike, "b": dict(alike)}, "a", "b")["passed"]
    for name in gate.CONDITIONS:
        with pytest.raises(InputError, match=name):
            conditions({"a": alike, "b": {**alike, name: "2"}}, "a", "b")
    assert conditions({"a": alike, "b": {**alike, "extraction": "2"}}, "a", "b")["passed"], "answers are read anew"
    unknown = conditions({"a": {}, "b": {}}, "a", "b")
    assert not unknown["passed"] and "cannot be known" in unknown["text"]


def test_same_weights_are_the_same_model() -> None:
    assert not distinct({"a": {"weights_sha256": "12"}, "b": {"weights_sha256": "12"}}, "a", "b")["passed"]
    assert distinct({"a": {"weights_sha256": "12"}, "b": {"weights_sha256": "34"}}, "a", "b")["passed"]
    assert distinct({}, "a", "b")["passed"]


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"margin": 0}, {"margin": -0.1}, {"look": 0}, {"no_answer_bound": 0}])
def test_nonsense_rules_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        Rules(**wrong)


# Simulations. `certain gain` makes superiority sure, so that the rule at its margin alone decides: the hardest case.

SCENARIOS = {
    "no difference": {"truth": Truth()},
    "knowledge at -margin": {"truth": AT_MARGIN},
    "knowledge at -margin, certain gain": {"truth": Truth(0.15, -MARGIN, 0.1, 0.1)},
    "adversarial at -margin": {"truth": AT_ADVERSARIAL_MARGIN},
    "adversarial at -margin, certain gain": {"truth": Truth(0.15, 0.1, -MARGIN, 0.1)},
    "no difference, five copies": {"truth": Truth(), "copies": 5},
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_false_promotions_are_rare(name: str) -> None:
    """One decision spends half of alpha; checked against that, the stricter bound."""
    assert promotions(300, seed=21, **SCENARIOS[name]) <= bound(Rules().level, 300)


@pytest.mark.parametrize("discordant", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("truth", [Truth(0.15, -MARGIN, 0.1, 0.1), Truth(0.15, 0.1, 0.1, -MARGIN)])
def test_models_that_differ_on_few_items_are_promoted_rarely(truth: Truth, discordant: float) -> None:
    """A certain gain in reasoning, and a loss at the margin in one cell: the published pairs differ on 16 to 30 %."""
    rng = np.random.default_rng(25)
    table = world(rng, items=450).table
    promoted = sum(quick(table, *alike(rng, table, truth, discordant), Rules()) for _ in range(120))
    assert promoted / 120 <= bound(Rules().level, 120)


def test_26_looks_promote_rarely() -> None:
    """Half a year of weekly candidates that are no better, against one champion."""
    assert promotions(400, Truth(), seed=23, looks=26) <= bound(Rules().alpha, 400)


def test_real_gains_are_found() -> None:
    """The gate is not safe by refusing everything."""
    assert promotions(100, Truth(0.1, 0.1, 0.1, 0.1), seed=24) > 0.8


def test_sides_are_not_swapped(w, sides) -> None:
    """Swapped sides would promote the worse model; the signs of the estimates give it away."""
    forward = decide(w.table, sides, "old", "good", Rules())
    backward = decide(w.table, sides, "good", "old", Rules())
    assert (forward["decision"], backward["decision"]) == ("promote", "refuse")
    for rule in ("reasoning_superior", "knowledge_not_inferior", "adversarial_reasoning_not_inferior"):
        assert reasons(forward)[rule]["estimate"] == pytest.approx(-reasons(backward)[rule]["estimate"])
        assert reasons(forward)[rule]["estimate"] > 0


def test_the_adversarial_rules_read_the_adversarial_answers(w, sides) -> None:
    swapped = {"plain": sides["good"][ADVERSARIAL], ADVERSARIAL: sides["good"]["plain"]}
    one = reasons(decide(w.table, sides, "old", "good", Rules()))
    two = reasons(decide(w.table, {"old": sides["old"], "good": swapped}, "old", "good", Rules()))
    assert (
        one["adversarial_reasoning_not_inferior"]["estimate"] != two["adversarial_reasoning_not_inferior"]["estimate"]
    )
