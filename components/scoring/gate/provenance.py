"""Whether answers were given to the questions at hand: an answers file's own `items_digest` against the items given.

Keys shifted by one letter, edited options or a reordered list would otherwise be graded in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.questions.askings import OPENED
from components.questions.items import Item, items_digest


def changed_items(items: Sequence[Item], rows: Iterable[Mapping[str, Any]], recorded: str | None) -> str | None:
    """What differs between `items` and those that the `rows` of one answers file answered; None where nothing does.

    `recorded` is the file's `items_digest`; a file without one cannot be checked (None). The digest is taken over the
    items that the file answers, in the file's order, so that a sample of the items agrees with the whole set. Where it
    differs, keys are counted by what evaluate wrote in the rows: `correct` says whether `extracted` was the key.
    """
    if not recorded:
        return None
    by_id = {item.id: item for item in items}
    order: dict[str, None] = {}
    keys: set[str] = set()
    openings: set[str] = set()
    marked = False
    for row in rows:
        item = by_id.get(str(row.get("item_id")))
        if item is None:
            return f"item {row.get('item_id')!r} of the answers is not among the items"
        order[item.id] = None
        letter, right = row.get("extracted"), row.get("correct")
        if isinstance(right, bool):
            marked = True
            if right != (letter == item.answer_idx):
                keys.add(item.id)
        # In another order of the options the prefill names another letter.
        if row.get("setting") in OPENED and not row.get("order") and isinstance(row.get("prefill"), str):
            expected = item.opening(OPENED.index(row["setting"]))
            if row["prefill"] != (expected or ""):
                openings.add(item.id)
    if items_digest([by_id[name] for name in order]) == recorded:
        return None
    return _words(len(order), len(keys), len(openings), marked)


def _words(asked: int, keys: int, openings: int, marked: bool) -> str:
    if not marked:
        return f"the {asked} answered questions, their options or keys are not those that were asked"
    parts = []
    if keys:
        parts.append(f"at least {keys} of {asked} keys changed")
    if openings:
        parts.append(f"the prefills of {openings} of {asked} questions changed")
    if not parts:
        parts.append(f"no key of the {asked} questions is known to have changed, so a question, an option or the order")
        parts[0] += " of the questions did"
    return " and ".join(parts)
