"""Which items to take: a seeded sample that does not depend on the file's order, and the doubtful ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from components.questions.items import Item, group_of


def sample(items: Sequence[Item], size: int | None, seed: int) -> list[Item]:
    """The `size` items whose hashed (seed, id) come first, in file order: a larger size only adds to a smaller."""
    if size is None or size >= len(items):
        return list(items)
    ranked = sorted(items, key=lambda item: hashlib.sha256(f"{seed}|{item.id}".encode()).digest())
    chosen = {item.id for item in ranked[:size]}
    return [item for item in items if item.id in chosen]


def nearest(items: Sequence[Item], threshold: float, most: int) -> dict[str, list[Item]]:
    """Per benchmark the `most` items whose reasoning_prob is nearest the threshold, nearest first; a stem once."""
    found: dict[str, dict[str, Item]] = {}
    for item in sorted(items, key=lambda i: (abs((i.reasoning_prob or 0.0) - threshold), i.id)):
        chosen = found.setdefault(item.dataset_name, {})
        if len(chosen) < most:
            chosen.setdefault(group_of(item), item)
    return {name: list(found[name].values()) for name in sorted(found)}
