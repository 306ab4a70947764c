"""Which questions are drawn for labelling: probabilities that are true, whole groups, every stratum."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import Item, group_of
from components.questions.label_sampling import LEAST, allocate, draw_sample


def questions(n: int, copies: int = 1) -> list[Item]:
    rng = np.random.default_rng(n)
    prob = rng.beta(0.7, 1.2, n)
    return [
        Item(
            f"q{k}#{c}",
            f"Question {k}?",
            {"A": "x", "B": f"y{c}"},
            "A",
            ("medqa", "NEJM")[k % 3 == 0],
            reasoning_prob=float(prob[k]),
        )
        for k in range(n)
        for c in range(copies if k % 2 else 1)
    ]


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0.1, 0.5)), min_size=1, max_size=20), st.data())
def test_allocation_is_feasible(strata: list[tuple[int, float]], data: st.DataObject) -> None:
    sizes, spreads = zip(*strata, strict=True)
    least = sum(min(size, LEAST) for size in sizes)
    total = data.draw(st.integers(least, sum(sizes)))
    counts = allocate(sizes, spreads, total)
    assert sum(counts) == total
    assert all(min(LEAST, size) <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_allocation_is_neymans() -> None:
    assert allocate([100, 100, 200], [0.5, 0.25, 0.25], 100) == [40, 20, 40]


def test_too_few_for_the_strata_is_said() -> None:
    with pytest.raises(InputError, match="take fewer bins"):
        allocate([50] * 30, [0.3] * 30, 40)


def test_probabilities_sum_to_what_is_drawn_and_copies_share_them() -> None:
    items = questions(400, copies=3)
    sample = draw_sample(items, 120, 4, seed=1)
    assert len(set(sample.drawn)) == len(sample.drawn) == 120
    group = {item.id: group_of(item) for item in items}
    assert len({group[item_id] for item_id in sample.drawn}) == 120
    by_group = {group[item_id]: p for item_id, p in sample.probability.items()}
    assert sum(by_group.values()) == pytest.approx(120)
    assert all(by_group[group[item_id]] == p for item_id, p in sample.probability.items())
    assert sample.probability.keys() == group.keys() and min(by_group.values()) > 0


def test_groups_are_drawn_as_often_as_they_say() -> None:
    items = questions(90)
    counts = Counter(item_id for seed in range(600) for item_id in draw_sample(items, 30, 3, seed).drawn)
    said = draw_sample(items, 30, 3, 0).probability
    off = [counts[item_id] / 600 - p for item_id, p in said.items()]
    assert np.abs(off).max() < 4.5 * 0.5 / np.sqrt(600) and np.std(off) < 0.03


def test_labelled_items_are_not_drawn_and_others_need_a_probability() -> None:
    items = questions(60)
    labelled = [item.with_(question_type="Reasoning") if n < 20 else item for n, item in enumerate(items)]
    assert not set(draw_sample(labelled, 30, 2, 0).probability) & {item.id for item in items[:20]}
    with pytest.raises(InputError, match="only 40 have no label"):
        draw_sample(labelled, 41, 2, 0)
    with pytest.raises(InputError, match="stratify the items first"):
        draw_sample([items[0].with_(reasoning_prob=None), *items[1:]], 20, 2, 0)
