"""A question set in parts that can be answered apart: a group of copies, and a question's settings, stay together."""

from __future__ import annotations

from collections.abc import Sequence

from components.errors import InputError
from components.questions.items import Item, group_of


def shard_numbers(items: Sequence[Item], shards: int) -> list[int]:
    """The shard (0 to shards - 1) of each item: groups are dealt out in turn, in order of appearance.

    Raises InputError where there are fewer groups than shards.
    """
    groups = dict.fromkeys(group_of(item) for item in items)
    if len(groups) < shards:
        raise InputError(f"shards: {shards}, but there are only {len(groups)} question groups; lower shards")
    place = {group: number % shards for number, group in enumerate(groups)}
    return [place[group_of(item)] for item in items]


def shard(items: Sequence[Item], number: int, shards: int) -> list[Item]:
    """The items of one shard, in file order."""
    return [item for item, own in zip(items, shard_numbers(items, shards), strict=True) if own == number]


def task_name(model: str, number: int, shards: int) -> str:
    """What the task that answers one shard is called, in receipts and logs."""
    return f"evaluate-{model}" if shards == 1 else f"evaluate-{model}-{number + 1}of{shards}"
