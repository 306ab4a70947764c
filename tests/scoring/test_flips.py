"""Equivalence by two one-sided tests, and the answers that flipped."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from components.scoring.gate.flips import equivalence, flips
from components.scoring.outcomes import ADVERSARIAL, Outcomes
from tests.scoring.gate_simulation import Truth, answers, world


def nearly(rng: np.random.Generator, side: dict[str, Outcomes], share: float) -> dict[str, Outcomes]:
    """A copy of `side` whose answers flip either way in `share` of the items."""
    made = {}
    for setting, outcomes in side.items():
        flip = rng.random(len(outcomes.correct)) < share
        made[setting] = Outcomes(np.where(flip, 1 - outcomes.correct, outcomes.correct), *[outcomes.no_answer] * 2)
    return made


def test_a_near_copy_is_equivalent_on_many_items_only() -> None:
    rng = np.random.default_rng(1)
    found = []
    for size in (200, 6000):
        w = world(rng, items=size)
        old = answers(rng, w)
        found.append(equivalence(w.table, old, nearly(rng, old, 0.02), 0.03, 0.025))
    assert [record["equivalent"] for record in found] == [False, True]
    assert {(c["setting"], c["stratum"]) for c in found[1]["cells"]} == {
        (setting, stratum) for setting in ("plain", ADVERSARIAL) for stratum in ("knowledge", "reasoning")
    }
    for cell in found[1]["cells"]:
        assert -0.03 < cell["ci_low"] < cell["estimate"] < cell["ci_high"] < 0.03 and cell["p"] <= 0.025


@pytest.mark.parametrize("shift", [-0.06, 0.06])
def test_better_is_not_equivalent_either(shift: float) -> None:
    rng = np.random.default_rng(2)
    w = world(rng, items=6000)
    found = equivalence(w.table, answers(rng, w), answers(rng, w, Truth(shift, shift, shift, shift)), 0.03, 0.025)
    assert not found["equivalent"] and not any(cell["equivalent"] for cell in found["cells"])


def test_nothing_in_common_is_not_equivalent() -> None:
    w = world(np.random.default_rng(3), items=60)
    assert equivalence(w.table, {}, {}, 0.03, 0.025) == {
        "margin": 0.03,
        "level": 0.025,
        "equivalent": False,
        "cells": [],
    }


def test_flips_are_counted_by_stratum_and_benchmark() -> None:
    w = world(np.random.default_rng(4), items=300)
    old = (np.arange(300) % 2).astype(float)
    new = old.copy()
    new[:40] = 1  # 20 of them were wrong
    new[101] = 0
    zero = np.zeros(300)
    found = flips(w.table, {"plain": Outcomes(old, zero, zero)}, {"plain": Outcomes(new, zero, zero)})
    cells = {(c["stratum"], c["benchmark"]): c for c in found}
    assert set(cells) == {(s, b) for s in ("all", "knowledge", "reasoning") for b in ("all", "medqa")}
    whole = cells["all", "all"]
    assert (whole["right_to_wrong"], whole["wrong_to_right"], whole["n"]) == (1, 20, 300)
    assert whole["p_mcnemar"] == pytest.approx(stats.binomtest(1, 21).pvalue)
    parts = [cells[stratum, "all"]["wrong_to_right"] for stratum in ("knowledge", "reasoning")]
    assert sum(parts) == 20


def test_copies_of_a_question_flip_once() -> None:
    w = world(np.random.default_rng(5), items=60, copies=5)
    old, new, zero = np.zeros(60), np.zeros(60), np.zeros(60)
    new[:5] = 1
    whole = flips(w.table, {"plain": Outcomes(old, zero, zero)}, {"plain": Outcomes(new, zero, zero)})[0]
    assert (whole["wrong_to_right"], whole["groups"], whole["p_mcnemar"]) == (5, 12, 1.0)


def test_of_several_samples_more_than_half_decide() -> None:
    """Four questions of four samples: lost, gained, a tie on one side, and a move that stays on its side."""
    w = world(np.random.default_rng(3), items=4)
    none = np.zeros(len(w.table))
    old, new = np.full((2, len(w.table)), np.nan)
    old[:4], new[:4] = (0.75, 0.25, 0.5, 1.0), (0.25, 1.0, 0.0, 0.75)
    sides = ({"plain": Outcomes(values, none, none)} for values in (old, new))
    (found,) = (r for r in flips(w.table, *sides) if (r["stratum"], r["benchmark"]) == ("all", "all"))
    assert (found["n"], found["right_to_wrong"], found["wrong_to_right"]) == (4, 1, 1)
