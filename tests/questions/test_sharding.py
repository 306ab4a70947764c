"""Shards: every item in exactly one, copies together, balanced, the same whatever else is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.questions.items import Item
from components.questions.sharding import shard, shard_numbers, task_name


def item(number: int, group: int) -> Item:
    return Item(f"q{number}", "Why?", {"A": "a", "B": "b"}, "A", "medqa", group_id=f"g{group}")


@given(groups=st.lists(st.integers(0, 12), min_size=1, max_size=60), shards=st.integers(1, 6))
def test_parts_make_the_whole_and_copies_stay_together(groups: list[int], shards: int) -> None:
    items = [item(number, group) for number, group in enumerate(groups)]
    if len(set(groups)) < shards:
        with pytest.raises(InputError, match="lower shards"):
            shard_numbers(items, shards)
        return
    parts = [shard(items, number, shards) for number in range(shards)]
    assert sorted((i for part in parts for i in part), key=items.index) == items
    own = [{i.group_id for i in part} for part in parts]
    assert sum(map(len, own)) == len(set(groups)) == len(set().union(*own))
    assert max(map(len, own)) - min(map(len, own)) <= 1
    assert all(part == [i for i in items if i in part] for part in parts)


def test_groups_are_computed_where_an_item_has_none() -> None:
    stems = ["Why?", "How?", "Why ?", "When?"]
    items = [Item(str(k), stem, {"A": "a", "B": "b"}, "A", "medqa") for k, stem in enumerate(stems)]
    assert shard_numbers(items, 3) == [0, 1, 0, 2]


def test_task_names() -> None:
    assert [task_name("m", 0, 1), task_name("m", 1, 2)] == ["evaluate-m", "evaluate-m-2of2"]
