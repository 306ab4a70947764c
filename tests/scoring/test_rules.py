"""The gate's settings: how looks share the error, what stands in the decision, and the sizes that can pass."""

from __future__ import annotations

import numpy as np
import pytest

from components.errors import InputError
from components.scoring.gate.paired import Paired
from components.scoring.gate.rules import Rules, harmonic_level, horizon_level, level_at
from components.scoring.gate.sizes import groups_for_answers, groups_for_equal, groups_for_gain


def test_both_schedules_spend_alpha_and_no_more() -> None:
    assert sum(harmonic_level(k, 0.05) for k in range(1, 20_000)) == pytest.approx(0.05, rel=1e-4)
    assert sum(horizon_level(k, 0.05, 52) for k in range(1, 1000)) == pytest.approx(0.05)
    assert horizon_level(26, 0.05, 52) == pytest.approx(9.6e-4, rel=0.01)
    assert harmonic_level(26, 0.05) == pytest.approx(7.1e-5, rel=0.01)
    assert level_at(3, 0.06) == harmonic_level(3, 0.06) != level_at(3, 0.06, "horizon", 26) == 0.06 / 26


def test_the_record_marks_what_is_not_the_default() -> None:
    assert not any(entry["changed"] for entry in Rules(look=9).record().values())
    record = Rules(margin=0.1, guard_columns=("specialty",), schedule="horizon").record()
    assert record["margin"] == {"value": 0.1, "default": 0.03, "changed": True}
    assert record["guard_columns"] == {"value": ["specialty"], "default": [], "changed": True}
    assert {name for name, entry in record.items() if entry["changed"]} == {
        *("margin", "guard_columns", "schedule", "level")
    }


@pytest.mark.parametrize(
    "wrong", [{"schedule": "weekly"}, {"horizon": 0}, {"benchmark_margin": 0}, {"benchmark_margin": 1.0}, {"alpha": 1}]
)
def test_nonsense_is_refused_by_name(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Rules(**wrong)


@pytest.mark.parametrize("level", [0.025, 0.0019, 7.1e-5])
def test_sizes_are_the_smallest_that_pass(level: float) -> None:
    equal, gain = groups_for_equal(level, 0.03), groups_for_gain(level)
    assert equal is not None and gain is not None
    for n, value, bound in ((equal, 0.0, -0.03), (gain, 1.0, 0.0)):
        at, below = (Paired(np.array([value]), np.array([float(k)]), k, k).p_above(bound) for k in (n, n - 1))
        assert at <= level < below
    silent = groups_for_answers(level, 0.1)
    assert silent is not None and 0.9**silent <= level < 0.9 ** (silent - 1)


def test_no_size_passes_at_level_0() -> None:
    assert groups_for_equal(0.0, 0.03) is groups_for_gain(0.0) is groups_for_answers(0.0, 0.1) is None
    assert groups_for_answers(0.05, 1.0) == 1
