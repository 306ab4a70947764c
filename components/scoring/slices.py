"""Accuracy by any column of the items (specialty, body system, a field of `meta`): a cell per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from components.errors import InputError
from components.questions.askings import SETTINGS
from components.questions.items import COLUMNS, Item
from components.scoring.accuracy import Record, cell
from components.scoring.outcomes import ADVERSARIAL, Answers, ItemTable, Mask, Outcomes
from components.scoring.proportions import Estimate, combine, copy_weights, holm, means

MOST_VALUES = 200

Slices = Mapping[str, Sequence[str | None]]  # column -> each item's value


def slices_of(items: Sequence[Item], columns: Sequence[str], field: str) -> dict[str, list[str | None]]:
    """The items' values (as text) in each of `columns`: a column of the items, or a field of their `meta`.

    None where an item has no value. Raises InputError, which names the config's `field`, for a column that no item has.
    """
    found: dict[str, list[str | None]] = {}
    for column in columns:
        values = [getattr(item, column) if column in COLUMNS else item.meta.get(column) for item in items]
        if all(value is None for value in values):
            raise InputError(f"{field}: {column!r}: no item has it, neither as a column nor in its meta")
        found[column] = [None if value is None else str(value) for value in values]
    return found


def slice_records(table: ItemTable, answers: Answers, slices: Slices) -> list[Record]:
    """A record per model, setting, column and value: n, groups, accuracy with its interval, and what `cells` hold.

    `rest` is the accuracy there minus that on the other questions with a value, with its interval and `rest_p`;
    `rest_p_holm` is adjusted for the column's values. Items without a value are in no slice. Raises InputError for a
    column with more than MOST_VALUES values.
    """
    records: list[Record] = []
    for column, given in slices.items():
        labels = np.array(["" if value is None else value for value in given])
        known = np.array([value is not None for value in given], dtype=bool)
        values = sorted(set(labels[known].tolist()))
        if len(values) > MOST_VALUES:
            raise InputError(
                f"slices: {column!r} has {len(values)} values, more than {MOST_VALUES}; name a column that puts "
                "questions into few groups"
            )
        masks = {value: known & (labels == value) for value in values}
        for model, settings in answers.items():
            for setting in (*SETTINGS, ADVERSARIAL):
                if setting in settings:
                    key = {"model": model, "setting": setting, "column": column}
                    records += [{**key, **record} for record in _values(table, settings[setting], masks)]
    return records


def _values(table: ItemTable, outcomes: Outcomes, masks: Mapping[str, Mask]) -> list[Record]:
    known = np.logical_or.reduce(list(masks.values())) & outcomes.asked
    rests = {value: _rest(table, outcomes, mask[known], known) for value, mask in masks.items()}
    p = {value: rest.p for value, rest in rests.items() if rest is not None and rest.p is not None}
    # Of two values the two differences are one.
    adjusted = dict(zip(p, holm(list(p.values())), strict=True)) if len(masks) > 2 else p
    return [
        {
            "value": value,
            **cell(table, outcomes, mask),
            "rest": rest.value if rest else None,
            "rest_low": rest.low if rest else None,
            "rest_high": rest.high if rest else None,
            "rest_p": rest.p if rest else None,
            "rest_p_holm": adjusted.get(value),
        }
        for (value, mask), rest in zip(masks.items(), rests.values(), strict=True)
    ]


def _rest(table: ItemTable, outcomes: Outcomes, inside: Mask, known: Mask) -> Estimate | None:
    """Accuracy inside minus outside among the `known` items; None where either is empty."""
    groups = table.groups[known]
    weights = copy_weights(groups, table.benchmark[known])
    found = means(outcomes.correct[known], weights, inside.astype(np.int64), groups, 2)
    return combine(found, np.array([-1.0, 1.0]))
