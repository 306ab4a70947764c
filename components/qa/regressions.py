"""The questions on which the candidate fell furthest behind the baseline, for a human to read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.qa.items import Item, group_of


@dataclass(frozen=True)
class Regression:
    """An item, how many settings were lost, and both models' outputs in the setting to show."""

    item: Item
    lost: int
    asked: int
    setting: str
    before: str
    after: str


def worst_regressions(
    items: Iterable[Item], answers: Iterable[Mapping[str, Any]], baseline: str, candidate: str, most: int
) -> list[Regression]:
    """At most `most` items, one per question group, ordered by settings lost, then by reasoning probability.

    A setting is lost where the baseline was right and the candidate wrong. Only answers that carry `correct` count.
    """
    by_item: dict[str, dict[tuple[str, str], Mapping[str, Any]]] = defaultdict(dict)
    for row in answers:
        if row.get("model") in (baseline, candidate) and isinstance(row.get("correct"), bool):
            by_item[row["item_id"]][row["model"], row["setting"]] = row
    found = [r for item in items if (r := _regression(item, by_item.get(item.id, {}), baseline, candidate))]
    found.sort(key=lambda r: (-r.lost, -(r.item.reasoning_prob or 0.0), r.item.id))
    kept: dict[str, Regression] = {}
    for regression in found:
        kept.setdefault(group_of(regression.item), regression)
    return list(kept.values())[:most]


def _regression(
    item: Item, rows: Mapping[tuple[str, str], Mapping[str, Any]], baseline: str, candidate: str
) -> Regression | None:
    shared = sorted((s for m, s in rows if m == baseline and (candidate, s) in rows), key=_plain_first)
    lost = [s for s in shared if rows[baseline, s]["correct"] and not rows[candidate, s]["correct"]]
    won = [s for s in shared if rows[candidate, s]["correct"] and not rows[baseline, s]["correct"]]
    if len(lost) <= len(won):
        return None
    before, after = (_output(rows[m, lost[0]]) for m in (baseline, candidate))
    return Regression(item, len(lost), len(shared), lost[0], before, after)


def shorten(text: str, most: int) -> str:
    """`text` cut at a word, with a sign that it was cut."""
    if len(text) <= most:
        return text
    beginning = text[:most]
    return (re.sub(r"\S+$", "", beginning).rstrip() or beginning.rstrip()) + " […]"


def titles(found: Sequence[Regression]) -> list[str]:
    return [f"{r.item.dataset_name}, {r.item.id}: {r.lost} of {r.asked} settings lost" for r in found]


def _plain_first(setting: str) -> tuple[bool, str]:
    return setting != "plain", setting


def _output(row: Mapping[str, Any]) -> str:
    output = str(row.get("output") or "").strip()
    return output or "(nothing was written)"
