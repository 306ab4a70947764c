"""The guard per benchmark: it sees a loss that averages hide, and seldom sees one that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import InputError
from components.questions.items import Item
from components.scoring.gate.decide import decide
from components.scoring.gate.guard import GUARD_ALPHA, guard_cells, holm
from components.scoring.gate.rules import Rules
from components.scoring.outcomes import Outcomes
from components.scoring.slices import slices_of
from tests.scoring.gate_simulation import published_size


def sides(rng: np.random.Generator, benchmark: np.ndarray, loss: float, discordant: float, gain: float) -> dict:
    """Plain answers with `gain` everywhere but on benchmark 3 (PubMedQA), which loses `loss`; the share of items whose
    answers differ is at least `discordant`."""
    size = len(benchmark)
    change = np.where(benchmark == 3, -loss, gain)
    spread = np.maximum(discordant, np.abs(change))
    draw = rng.random(size)
    flip = np.where(draw < (spread + change) / 2, 1, np.where(draw > 1 - (spread - change) / 2, -1, 0))
    old = np.where(flip == 0, rng.random(size) < 0.6, flip < 0).astype(float)
    zero = np.zeros(size)
    return {
        "old": {"plain": Outcomes(old, zero, zero)},
        "new": {"plain": Outcomes(np.where(flip == 0, old, flip > 0).astype(float), zero, zero)},
    }


@pytest.mark.parametrize("discordant", [0.2, 0.35])
def test_minus_20_points_on_pubmedqa_are_refused(discordant: float) -> None:
    """12,609 items, better everywhere else: promoted in 97 of 100 simulated runs before."""
    rng, table = np.random.default_rng(1), published_size()
    for _ in range(25):
        made = sides(rng, table.benchmark, 0.2, discordant, 0.05)
        lost = [c for c in guard_cells(table, made["old"], made["new"], {}, 0.05) if c["lost"]]
        assert [c["value"] for c in lost] == ["pubmedqa"]


def test_an_equal_model_is_seldom_refused() -> None:
    rng, table = np.random.default_rng(2), published_size()
    refused = 0
    for _ in range(60):
        made = sides(rng, table.benchmark, 0.0, 0.25, 0.0)
        refused += any(c["lost"] for c in guard_cells(table, made["old"], made["new"], {}, 0.05))
    assert refused / 60 <= GUARD_ALPHA + 3 * np.sqrt(GUARD_ALPHA / 60)


def test_a_column_of_the_recipe_is_guarded_too() -> None:
    rng, table = np.random.default_rng(3), published_size()
    made = sides(rng, table.benchmark, 0.0, 0.2, 0.05)
    values: list[str | None] = [None if n % 3 == 0 else f"specialty {n % 20}" for n in range(len(table))]
    ill = np.array([value == "specialty 7" for value in values])
    made["new"]["plain"].correct[ill] = made["old"]["plain"].correct[ill] * (rng.random(int(ill.sum())) > 0.4)
    decision = decide(table, made, "old", "new", Rules(), slices={"specialty": values})
    reason = next(r for r in decision["reasons"] if r["rule"] == "benchmark_guard")
    assert not reason["passed"] and "specialty 7" in reason["text"] and reason["estimate"] < -0.1
    assert [cell["value"] for cell in decision["guard"] if cell["lost"]] == ["specialty 7"]
    assert decision["guard"][0]["ci_high"] < 0


def test_holm_is_the_step_down_adjustment() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert len(holm(np.empty(0))) == 0


def test_small_cells_and_unasked_settings_are_left_out() -> None:
    table = published_size()
    made = sides(np.random.default_rng(4), table.benchmark, 0.0, 0.2, 0.0)
    few: list[str | None] = ["rare" if n < 9 else None for n in range(len(table))]
    cells = guard_cells(table, made["old"], made["new"], {"specialty": few}, 0.05)
    assert {c["column"] for c in cells} == {"dataset_name"} and {c["setting"] for c in cells} == {"plain"}
    assert guard_cells(table, {}, made["new"], {}, 0.05) == []


def test_slices_come_from_columns_and_meta() -> None:
    options = {"A": "one", "B": "two"}
    items = [
        Item("a", "Question?", options, "A", "medqa", question_type="Reasoning", meta={"system": "heart"}),
        Item("b", "Another?", options, "A", "medqa", meta={"year": 3}),
    ]
    assert slices_of(items, ("question_type", "system", "year"), "guard_columns") == {
        "question_type": ["Reasoning", None],
        "system": ["heart", None],
        "year": [None, "3"],
    }
    with pytest.raises(InputError, match="'specialty': no item has it"):
        slices_of(items, ("specialty",), "guard_columns")
