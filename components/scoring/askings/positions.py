"""Whether a model chooses by the place of an option: answers to the same question in two orders of its options.

`bias` of a place is the share of answers there beyond what the chosen texts explain. The model's choices in one order
say where they would stand in the other; what is chosen there more often than that is due to the place. Taken in both
directions and halved, it is zero on average for any model that chooses by text alone, however options were exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.questions.askings import SETTINGS
from components.questions.option_values import LETTERS
from components.scoring.askings.marking import Marked, Marks
from components.scoring.askings.shares import TAIL, Array, Codes, Record, weighted, with_interval
from components.scoring.gate.paired import paired
from components.scoring.outcomes import STRATA, ItemTable
from components.scoring.proportions import copy_weights


def position_records(table: ItemTable, marked: Marked) -> list[Record]:
    """Flat records of every model and setting that was asked in two orders, of two kinds.

    position: the share of answers at one place in the original and in the other order, the share of right options that
    stand there, and `bias`. moved: the share of questions whose answer is another option in the other order, by
    stratum; `to_wrong` and `to_right` of it; `same_place` of it kept the letter instead of the text; `by_chance`: as
    often two samples in the same order differ (None with one sample).

    Only pairs of answers with the same sample number that both choose an option count; `unanswered` is the share of
    the others.
    """
    records: list[Record] = []
    for model, settings in marked.items():
        for setting in SETTINGS:
            marks = settings.get(setting)
            pairs = _Pairs.of(marks, table) if marks is not None else None
            if marks is None or pairs is None:
                continue
            key = {"model": model, "setting": setting}
            records += [{"kind": "position", **key, **record} for record in _places(table, pairs)]
            for stratum in STRATA if table.stratified else STRATA[:1]:
                inside = table.mask(stratum)
                found = _moved(table, pairs, marks, inside)
                if found:
                    records.append({"kind": "moved", **key, "stratum": stratum, **found})
    return records


class _Pairs:
    """Answers to one question in both orders; arrays with one entry per pair.

    `first` and `second` are the choices, `key` the right one, as places in the original order; `first_there`,
    `second_there` and `key_there` are the places of the same options in the other order.
    """

    def __init__(self, item: Codes, columns: Codes, options: Codes, share: Mapping[int, float]) -> None:
        self.item, self.options, self.unanswered = item, options, share
        self.first, self.second, self.first_there, self.second_there, self.key, self.key_there = columns

    @classmethod
    def of(cls, marks: Marks, table: ItemTable) -> _Pairs | None:
        original = {
            (int(marks.item[n]), int(marks.sample[n])): int(marks.letter[n]) for n in np.nonzero(~marks.permuted)[0]
        }
        assert table.keys is not None
        rows, asked, silent = [], dict[int, int](), dict[int, int]()
        for n in np.nonzero(marks.permuted)[0]:
            item, second = int(marks.item[n]), int(marks.letter[n])
            first = original.get((item, int(marks.sample[n])))
            if first is None:
                continue
            asked[item] = asked.get(item, 0) + 1
            if min(first, second) < 0:
                silent[item] = silent.get(item, 0) + 1
                continue
            own, key = table.letters[item], int(table.keys[item])
            order = marks.order[n] or own
            there = [order.index(own[option]) for option in (first, second, key)]
            rows.append((item, first, second, *there[:2], key, there[2], len(own)))
        if not rows:
            return None
        item, *columns, options = np.array(rows, dtype=np.int64).T
        return cls(item, np.array(columns), options, {i: silent.get(i, 0) / count for i, count in asked.items()})


def _places(table: ItemTable, pairs: _Pairs) -> list[Record]:
    items, groups, weights, mean = _by_item(table, pairs.item)
    records = []
    for place in range(int(pairs.options.max())):
        here, there = mean(pairs.first == place), mean(pairs.second_there == place)
        # What the choices of the other order would give at this place.
        expected = mean(pairs.second == place), mean(pairs.first_there == place)
        excess = (here + there) / 2, (expected[0] + expected[1]) / 2
        found = paired(excess[0], excess[1], groups)
        assert found is not None
        bias = {"bias": found.estimate, "bias_low": found.lower(TAIL), "bias_high": found.upper(TAIL)}
        records.append(
            {
                "position": LETTERS[place],
                "n": len(items),
                "groups": found.groups,
                "offered": weighted(mean(pairs.options > place), weights),
                **with_interval("original", here, groups, weights),
                **with_interval("permuted", there, groups, weights),
                "keys_original": weighted(mean(pairs.key == place), weights),
                "keys_permuted": weighted(mean(pairs.key_there == place), weights),
                **bias,
                "p": min(1.0, 2 * min(found.p_above(0.0), found.swapped().p_above(0.0))),
            }
        )
    return records


def _moved(table: ItemTable, pairs: _Pairs, marks: Marks, inside: NDArray[np.bool_]) -> Record | None:
    chosen = inside[pairs.item]
    if not chosen.any():
        return None
    items, groups, weights, mean = _by_item(table, pairs.item[chosen])
    first, second, key = pairs.first[chosen], pairs.second[chosen], pairs.key[chosen]
    moved = first != second
    chance = _chance(marks)
    values, known = mean(moved), np.array([int(i) in chance for i in items], dtype=bool)
    unanswered = [value for item, value in pairs.unanswered.items() if inside[item]]
    record: Record = {
        "n": len(items),
        "groups": len(np.unique(groups)),
        **with_interval("moved", values, groups, weights),
        "to_wrong": weighted(mean(moved & (first == key)), weights),
        "to_right": weighted(mean(moved & (second == key)), weights),
        "same_place": weighted(mean(moved & (first == pairs.second_there[chosen])), weights),
        "unanswered": float(np.mean(unanswered)),
        **dict.fromkeys(("by_chance", "beyond_chance", "beyond_chance_low", "beyond_chance_high")),
    }
    if known.any():
        usual = np.array([chance[int(i)] for i in items[known]])
        found = paired(values[known], usual, groups[known])
        assert found is not None
        part = weights[known]
        record["by_chance"] = weighted(usual, part)
        record["beyond_chance"] = found.estimate
        record["beyond_chance_low"], record["beyond_chance_high"] = found.lower(TAIL), found.upper(TAIL)
    return record


def _chance(marks: Marks) -> dict[int, float]:
    """Per item, the share of pairs of its samples in the original order that choose different options."""
    chosen = ~marks.permuted & (marks.letter >= 0)
    options = int(marks.letter.max(initial=0)) + 1
    cell, votes = np.unique(marks.item[chosen] * options + marks.letter[chosen], return_counts=True)
    items, place = np.unique(cell // options, return_inverse=True)
    total = np.bincount(place, weights=votes)
    same = np.bincount(place, weights=votes * (votes - 1.0))
    several = total > 1
    shares = 1 - same[several] / (total[several] * (total[several] - 1))
    return dict(zip(items[several].tolist(), shares.tolist(), strict=True))


def _by_item(table: ItemTable, item: Codes) -> tuple[Codes, Codes, Array, Any]:
    """The items of some pairs with their groups and weights, and the mean over an item's pairs as a function."""
    items, place = np.unique(item, return_inverse=True)
    counts = np.bincount(place)
    groups, parts = table.groups[items], table.benchmark[items]

    def mean(of: NDArray[np.bool_]) -> Array:
        return np.asarray(np.bincount(place, weights=of.astype(np.float64)) / counts)

    return items, groups, copy_weights(groups, parts), mean
