"""Items and answers as arrays, one entry per item: what the statistics, the scores and the gate compute on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.extraction import Reading, read
from components.questions.items import LABEL_PROBABILITY, Item, group_of
from components.scoring.chance import Guesses, guesses
from components.scoring.prefills import stands

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

OPENED = ("adversarial_0", "adversarial_1", "adversarial_2")
SETTINGS = ("plain", *OPENED)
ADVERSARIAL = "adversarial"  # the mean of the three per item
STRATA = ("all", "knowledge", "reasoning")


@dataclass(frozen=True)
class ItemTable:
    """What the statistics need to know of N items; `reasoning` and `prob` are NaN where an item has no stratum."""

    ids: tuple[str, ...]
    groups: Codes  # a group's number per item, 0..G-1
    benchmarks: tuple[str, ...]  # names, in order of first appearance
    benchmark: Codes
    reasoning: Array
    prob: Array
    chance: Array
    masks: Mapping[str, Mask] = field(default_factory=dict)
    guess: Guesses | None = None  # what guessing gets, of each item
    expert: Array | None = None  # 1 (Reasoning), 0 (Understanding) or NaN: an expert's `question_type`
    drawn: Array | None = None  # the probability with which an item was drawn for labelling, NaN where none was

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def stratified(self) -> bool:
        return not bool(np.isnan(self.reasoning).all())

    def mask(self, stratum: str) -> Mask:
        return self.masks[stratum]


def item_table(items: Sequence[Item]) -> ItemTable:
    """Arrays of `items`; raises InputError when two items share an id."""
    if len({item.id for item in items}) != len(items):
        raise InputError("items: an id occurs twice; give each question an id of its own")
    nan = float("nan")
    reasoning = np.array([nan if i.is_reasoning is None else float(i.is_reasoning) for i in items])
    names, benchmark = _codes([item.dataset_name for item in items])
    return ItemTable(
        ids=tuple(item.id for item in items),
        groups=_codes([group_of(item) for item in items])[1],
        benchmarks=names,
        benchmark=benchmark,
        reasoning=reasoning,
        prob=np.array([nan if i.reasoning_prob is None else i.reasoning_prob for i in items], dtype=float),
        chance=np.array([1 / len(item.options) for item in items]),
        masks={"all": np.ones(len(items), dtype=bool), "knowledge": reasoning == 0, "reasoning": reasoning == 1},
        guess=guesses(items),
        expert=np.array([nan if i.question_type is None else float(i.question_type == "Reasoning") for i in items]),
        drawn=np.array([i.meta.get(LABEL_PROBABILITY, nan) for i in items], dtype=float),
    )


def _codes(values: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    order = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return tuple(order), np.array([order[value] for value in values], dtype=np.int64)


@dataclass(frozen=True)
class Outcomes:
    """What became of each item under one model and setting; NaN where the item was not asked.

    `correct` and `no_answer` are 0 or 1 (their means over three openings in the setting `adversarial`); `truncated`
    is NaN too where the answer does not say how it ended.
    """

    correct: Array
    no_answer: Array
    truncated: Array
    expected: Array | None = None  # of 1 for a right answer: what its letter gets without reading the question
    # 1 where the model ended its answer without adding to a prefill, which then stands: no answer, but no broken one.
    silent: Array | None = None

    @property
    def asked(self) -> Mask:
        return ~np.isnan(self.correct)


Answers = dict[str, dict[str, Outcomes]]  # model -> setting -> outcomes


def restricted(answers: Answers, places: Mask) -> Answers:
    """The outcomes of some of the items only; `places` has an entry per item."""
    columns = [field.name for field in fields(Outcomes)]

    def part(outcomes: Outcomes) -> Outcomes:
        values = {name: getattr(outcomes, name) for name in columns}
        return Outcomes(**{name: value[places] for name, value in values.items() if value is not None})

    return {model: {setting: part(o) for setting, o in own.items()} for model, own in answers.items()}


# Told of every answer as it is marked: its row, the item's place, what was read.
Witness = Callable[[Mapping[str, Any], int, Reading], None]


def grade(
    items: Sequence[Item], rows: Iterable[tuple[str, Mapping[str, Any]]], witness: Witness | None = None
) -> Answers:
    """Extracts and marks every answer row; `rows` are (where, row), `where` naming file and row in messages.

    `witness` is told of each reading, so that nobody has to read the texts a second time. Adds the setting
    `adversarial` where a model has all three prefills. Raises InputError for a row of no item, an unknown setting, an
    output that is no text, or a second row for the same item, model and setting.
    """
    places = {item.id: place for place, item in enumerate(items)}
    shares = guesses(items).shares
    answers: Answers = {}
    for where, row in rows:
        item_id, model, setting, output = _fields(row, where)
        if item_id not in places:
            raise InputError(
                f"{where}: item_id: {item_id!r} is not an item of this set; give the items that were asked"
            )
        place = places[item_id]
        settings = answers.setdefault(model, {})
        if setting not in settings:
            settings[setting] = _unasked(len(items))
        outcomes = settings[setting]
        if not np.isnan(outcomes.correct[place]):
            raise InputError(f"{where}: item_id: a second answer of {model!r} to {item_id!r} ({setting}); keep one")
        reading = read(output, items[place].options)
        letter = reading.letter
        outcomes.correct[place] = letter == items[place].answer_idx
        outcomes.no_answer[place] = letter is None
        assert outcomes.expected is not None and outcomes.silent is not None
        outcomes.silent[place] = setting in OPENED and letter is None and stands(output, row.get("finish_reason"))
        outcomes.expected[place] = shares[place].get(letter or "", 0.0)
        if row.get("finish_reason") is not None:
            outcomes.truncated[place] = row["finish_reason"] == "length"
        if witness is not None:
            witness(row, place, reading)
    if not answers:
        raise InputError("answers: no rows; evaluate a model first")
    for own in answers.values():
        if all(setting in own for setting in OPENED):
            own[ADVERSARIAL] = mean_outcomes([own[setting] for setting in OPENED])
    return answers


def mean_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    """The per-item mean of several settings; an item that misses one of them counts as not asked."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Outcomes)}
    known = {name: column for name, column in columns.items() if all(values is not None for values in column)}
    return Outcomes(**{name: np.mean(column, axis=0) for name, column in known.items()})


def _unasked(n: int) -> Outcomes:
    return Outcomes(*(np.full(n, np.nan) for _ in range(5)))


def _fields(row: Mapping[str, Any], where: str) -> tuple[str, str, str, str]:
    for name in ("item_id", "model", "setting"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise InputError(f"{where}: {name}: missing; every answer needs item_id, model, setting and output")
    if row["setting"] not in SETTINGS:
        raise InputError(f"{where}: setting: {row['setting']!r} is not one of {', '.join(SETTINGS)}")
    if not isinstance(row.get("output"), str):
        raise InputError(f"{where}: output: must be the text that the model wrote (an empty one counts as no answer)")
    return row["item_id"], row["model"], row["setting"], row["output"]
