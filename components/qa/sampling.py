"""A seeded sample that does not depend on the order of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from components.qa.items import Item


def sample(items: Sequence[Item], size: int | None, seed: int) -> list[Item]:
    """The `size` items whose hashed (seed, id) come first, in file order: a larger size only adds to a smaller."""
    if size is None or size >= len(items):
        return list(items)
    ranked = sorted(items, key=lambda item: hashlib.sha256(f"{seed}|{item.id}".encode()).digest())
    chosen = {item.id for item in ranked[:size]}
    return [item for item in items if item.id in chosen]
