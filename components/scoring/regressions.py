"""The questions that went worst, for a human to read: lost by a candidate, or lost after a prefill.

Right and wrong are what the scores say, never a mark that stands in the answers: that one may be of an older rule, or
missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.questions.askings import OPENED, SETTINGS
from components.questions.items import Item, group_of
from components.questions.orders import read_in_order
from components.scoring.askings.marking import order_of
from components.scoring.outcomes import HALF, Answers, Array

Key = tuple[str, str]  # model, setting


@dataclass(frozen=True)
class Regression:
    """An item, how many settings were lost, and the two answers to show: one that was right and one that was not."""

    item: Item
    lost: int
    asked: int
    right: Key
    wrong: Key

    @property
    def keys(self) -> tuple[tuple[str, str, str], ...]:
        return tuple((self.item.id, *key) for key in (self.right, self.wrong))


def worst_regressions(
    items: Sequence[Item | None], graded: Answers, baseline: str, candidate: str, most: int
) -> list[Regression]:
    """At most `most` items, one per question group, ordered by settings lost, then by reasoning probability.

    A setting is lost where the baseline was right and the candidate wrong (of several samples, in most); an item that
    won as many is left out. `items` are in the order of `graded`; a None stands where a question may not be shown.
    """
    old, new = _marks(graded, baseline), _marks(graded, candidate)
    shared = [setting for setting in old if setting in new]
    found = []
    for place, item in enumerate(items):
        if item is None:
            continue
        pairs = {s: (old[s][place], new[s][place]) for s in shared}
        asked = [s for s, pair in pairs.items() if not np.isnan(pair).any()]
        lost = [s for s in asked if pairs[s][0] > HALF > pairs[s][1]]
        won = [s for s in asked if pairs[s][0] < HALF < pairs[s][1]]
        if len(lost) > len(won):
            found.append(Regression(item, len(lost), len(asked), (baseline, lost[0]), (candidate, lost[0])))
    return _worst(found, most)


def worst_falls(items: Sequence[Item | None], graded: Answers, model: str, most: int) -> list[Regression]:
    """The same for one model alone: right when asked plainly, wrong after as many prefills as possible."""
    marks = _marks(graded, model)
    found = []
    for place, item in enumerate(items):
        if item is None:
            continue
        asked = [s for s in OPENED if s in marks and not np.isnan(marks[s][place])]
        lost = [s for s in asked if marks[s][place] < HALF]
        if lost and "plain" in marks and marks["plain"][place] > HALF:
            found.append(Regression(item, len(lost), len(asked), (model, "plain"), (model, lost[0])))
    return _worst(found, most)


def outputs(
    found: Iterable[Regression], rows: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """The answers that `found` shows, by item, model and setting, out of another reading of all of them.

    Of several samples the first that is right, or wrong, as it should be; in the original order of the options if any.
    """
    wanted = {key: (r.item, n == 0) for r in found for n, key in enumerate(r.keys)}
    best: dict[tuple[str, str, str], tuple[tuple[bool, bool], Mapping[str, Any]]] = {}
    for where, row in rows if wanted else ():
        key = (str(row.get("item_id")), str(row.get("model")), str(row.get("setting")))
        if key not in wanted:
            continue
        item, right = wanted[key]
        order = order_of(row, item, where)
        fits = (read_in_order(str(row.get("output") or ""), item, order).letter == item.answer_idx) is right
        rank = (order is not None, not fits)
        if key not in best or rank < best[key][0]:
            best[key] = rank, row
    return {key: row for key, (_, row) in best.items()}


def shorten(text: str, most: int) -> str:
    """`text`, or its beginning and its end, cut at words, with a sign for what was left out between them."""
    if len(text) <= most:
        return text
    beginning, end = text[: most // 2], text[len(text) - (most + 1) // 2 :]
    beginning = re.sub(r"\S+$", "", beginning).rstrip() or beginning.rstrip()
    end = re.sub(r"^\S+", "", end).lstrip() or end.lstrip()
    return f"{beginning} […] {end}"


def titles(found: Sequence[Regression], unit: str = "settings") -> list[str]:
    return [f"{r.item.dataset_name}, {r.item.id}: {r.lost} of {r.asked} {unit} lost" for r in found]


def _marks(graded: Answers, model: str) -> dict[str, Array]:
    """The share of right samples or (not asked) NaN per item and setting, plain answers first."""
    own = graded.get(model, {})
    return {setting: own[setting].correct for setting in SETTINGS if setting in own}


def _worst(found: list[Regression], most: int) -> list[Regression]:
    found.sort(key=lambda r: (-r.lost, -(r.item.reasoning_prob or 0.0), r.item.id))
    kept: dict[str, Regression] = {}
    for regression in found:
        kept.setdefault(group_of(regression.item), regression)
    return list(kept.values())[:most]
