"""Adversarial drops: a width where nothing changed, copies as one, thirds of an item, and coverage by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.scoring.gaps.drops import drop_records
from components.scoring.outcomes import ADVERSARIAL, ItemTable, Outcomes
from components.scoring.proportions import tango


def drops(plain: np.ndarray, opened: np.ndarray, parts: np.ndarray, groups: np.ndarray) -> dict[str, dict[str, Any]]:
    n, zero = len(plain), np.zeros(len(plain))
    table = ItemTable(
        ids=tuple(map(str, range(n))),
        groups=groups,
        benchmarks=tuple(f"b{b}" for b in range(int(parts.max()) + 1)),
        benchmark=parts,
        reasoning=np.full(n, np.nan),
        prob=np.full(n, np.nan),
        chance=np.full(n, 0.25),
        masks={"all": np.ones(n, dtype=bool)},
    )
    sides = {"plain": Outcomes(plain, zero, zero), ADVERSARIAL: Outcomes(opened, zero, zero)}
    return {r["benchmark"]: r for r in drop_records(table, "m", sides)}


def one(plain: np.ndarray, opened: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
    groups = np.arange(len(plain)) if groups is None else groups
    return drops(plain, opened, np.zeros(len(plain), dtype=np.int64), groups)["all"]


def test_every_question_lost_is_not_certain() -> None:
    found = one(np.ones(10), np.zeros(10))
    assert found["estimate"] == 1 and found["ci_low"] < 0.75 and found["ci_high"] == pytest.approx(1)


def test_single_openings_are_tangos() -> None:
    plain, opened = np.r_[np.ones(30), np.zeros(10)], np.r_[np.ones(21), np.zeros(16), np.ones(3)]
    found = one(plain, opened)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tango(9 / 40, 3 / 40, 40, 1.959964), abs=1e-6)
    assert (found["p"] < 0.05) == (found["ci_low"] > 0)


def test_copies_count_once() -> None:
    rng = np.random.default_rng(1)
    plain, opened = (rng.random(40) < 0.7).astype(float), (rng.random(40) < 0.5).astype(float)
    five = np.repeat(np.arange(40), 5)
    once, again = one(plain, opened), one(plain[five], opened[five], five)
    assert all(again[name] == pytest.approx(once[name]) for name in ("estimate", "ci_low", "ci_high", "p"))


def test_macro_needs_two_questions_in_each() -> None:
    plain, opened = np.ones(12), np.r_[np.zeros(3), np.ones(9)]
    found = drops(plain, opened, np.r_[np.zeros(11), 1].astype(np.int64), np.arange(12))
    assert found["macro"]["estimate"] == pytest.approx((3 / 11 + 0) / 2) and found["macro"]["ci_low"] is None
    assert found["b1"]["ci_low"] is None


@pytest.mark.parametrize(("sizes", "moved"), [((30,), 0.05), ((200,), 0.2), ((100, 60, 5), 0.2)])
@pytest.mark.parametrize("openings", [1, 3])
def test_coverage(sizes: tuple[int, ...], moved: float, openings: int) -> None:
    """Five to twenty percent of answers turn wrong under an opening, a quarter as many right."""
    rng = np.random.default_rng(sum(sizes) + openings)
    parts = np.repeat(np.arange(len(sizes)), sizes)
    runs, hits = 400, {"all": 0, "macro": 0}
    for _ in range(runs):
        plain = (rng.random(len(parts)) < 0.7).astype(float)
        lose, win = rng.random((2, openings, len(parts)))
        opened = np.where(plain == 1, lose > moved, win < moved / 4).mean(axis=0)
        found = drops(plain, opened, parts, np.arange(len(parts)))
        aim = 0.7 * moved - 0.3 * moved / 4
        for name in hits:
            hits[name] += found[name]["ci_low"] <= aim <= found[name]["ci_high"]
    assert min(hits.values()) >= 0.93 * runs
