"""Answer rows as marks: each output is read anew, under the order of options it was asked in, and set against the key.

One entry per answer. An item has several answers in one setting where it was asked with several seeds (`sample`, 0 for
a row without one) or with its options in another order (`order`, none for the original one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.extraction import Reading
from components.questions.askings import OPENED, SETTINGS, told
from components.questions.items import Item, is_missing
from components.questions.orders import check_order, read_in_order
from components.scoring.chance import guesses
from components.scoring.prefills import stands

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Marks:
    """The answers of one model in one setting; arrays with one entry per answer.

    `letter` is the place of the chosen option among the item's own letters, -1 for none. `truncated` is NaN where an
    answer does not say how it ended. `order` is None for the original order, else its letters by position.
    """

    item: Codes
    sample: Codes
    letter: Codes
    correct: Array
    truncated: Array
    silent: Array  # 1 where nothing was added to a prefill, which then stands
    expected: Array  # of 1 for a right answer: what its letter gets without reading the question
    order: tuple[str | None, ...]

    @cached_property
    def permuted(self) -> Mask:
        return np.array([order is not None for order in self.order], dtype=bool)

    def part(self, chosen: Mask) -> Marks:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "order"}
        order = tuple(self.order[n] for n in np.nonzero(chosen)[0])
        return Marks(**{name: value[chosen] for name, value in values.items()}, order=order)

    def scored(self) -> Marks:
        """The answers in the original order, or all of them where there is none."""
        if not self.permuted.any() or self.permuted.all():
            return self
        return self.part(~self.permuted)


Marked = dict[str, dict[str, Marks]]  # model -> setting -> marks


@dataclass
class _Columns:
    rows: list[tuple[int, int, int, float, float, float, float]] = field(default_factory=list)
    order: list[str | None] = field(default_factory=list)
    seen: set[tuple[int, int, str | None]] = field(default_factory=set)

    def marks(self) -> Marks:
        table = np.array(self.rows, dtype=np.float64).T
        item, sample, letter = table[:3].astype(np.int64)
        correct, truncated, silent, expected = table[3:]
        return Marks(item, sample, letter, correct, truncated, silent, expected, tuple(self.order))


# Told of every answer as it is marked: its row, the item's place, what was read (as an original letter).
Witness = Callable[[Mapping[str, Any], int, Reading], None]


def mark(
    items: Sequence[Item], rows: Iterable[tuple[str, Mapping[str, Any]]], witness: Witness | None = None
) -> Marked:
    """Reads and marks every answer row; `rows` are (where, row), `where` naming file and row in messages.

    `witness` is told of each reading, so that nobody has to read the texts a second time. Raises InputError for a row
    of no item, an unknown setting, an output that is no text, a sample or an order that is none, or a second row for
    the same item, model, setting, sample and order.
    """
    places = {item.id: place for place, item in enumerate(items)}
    shares = guesses(items).shares
    found: dict[str, dict[str, _Columns]] = {}
    for where, row in rows:
        item_id, model, setting, output = _fields(row, where)
        if item_id not in places:
            raise InputError(
                f"{where}: item_id: {item_id!r} is not an item of this set; give the items that were asked"
            )
        place = places[item_id]
        item = items[place]
        columns = found.setdefault(model, {}).setdefault(setting, _Columns())
        sample, order = sample_of(row, where), order_of(row, item, where)
        if (place, sample, order) in columns.seen:
            raise InputError(
                f"{where}: item_id: a second answer of {model!r} to {item_id!r} ({told(setting, sample, order)}); "
                "keep one, or number them in a column `sample`"
            )
        columns.seen.add((place, sample, order))
        columns.order.append(order)
        reading = read_in_order(output, item, order)
        letter, reason = reading.letter, row.get("finish_reason")
        columns.rows.append(
            (
                place,
                sample,
                -1 if letter is None else list(item.options).index(letter),
                letter == item.answer_idx,
                float("nan") if reason is None else reason == "length",
                setting in OPENED and letter is None and stands(output, reason),
                shares[place].get(letter or "", 0.0),
            )
        )
        if witness is not None:
            witness(row, place, reading)
    if not found:
        raise InputError("answers: no rows; evaluate a model first")
    return {model: {name: c.marks() for name, c in settings.items()} for model, settings in found.items()}


def sample_of(row: Mapping[str, Any], where: str) -> int:
    """Which of several answers under the same conditions a row is: 0 in files without the column."""
    value = row.get("sample")
    if is_missing(value):
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise InputError(f"{where}: sample: {value!r} is no whole number from 0; number an item's answers 0, 1, 2, ...")
    return int(value)


def order_of(row: Mapping[str, Any], item: Item, where: str) -> str | None:
    """The order of the options that a row was asked in; None for the original one."""
    order = row.get("order")
    if is_missing(order) or order == "":
        return None
    check_order(str(order), item.options, where)
    return None if order == "".join(item.options) else str(order)


def _fields(row: Mapping[str, Any], where: str) -> tuple[str, str, str, str]:
    for name in ("item_id", "model", "setting"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise InputError(f"{where}: {name}: missing; every answer needs item_id, model, setting and output")
    if row["setting"] not in SETTINGS:
        raise InputError(f"{where}: setting: {row['setting']!r} is not one of {', '.join(SETTINGS)}")
    if not isinstance(row.get("output"), str):
        raise InputError(f"{where}: output: must be the text that the model wrote (an empty one counts as no answer)")
    return row["item_id"], row["model"], row["setting"], row["output"]
