"""Items and answers as arrays, one entry per item: what the statistics, the scores and the gate compute on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.questions.askings import OPENED
from components.questions.items import LABEL_PROBABILITY, Item, group_of
from components.scoring.askings.marking import Marked, Marks, Witness, mark
from components.scoring.chance import Guesses, guesses

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

ADVERSARIAL = "adversarial"  # the mean of the three per item
HALF = 0.5  # of an item's samples: where more of them are right, it is right; where less, wrong
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
    letters: tuple[str, ...] = ()  # of each item's options, in their order
    keys: Codes | None = None  # the place of the right one among them

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
        letters=tuple("".join(item.options) for item in items),
        keys=np.array([list(item.options).index(item.answer_idx) for item in items], dtype=np.int64),
    )


def _codes(values: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    order = {value: code for code, value in enumerate(dict.fromkeys(values))}
    return tuple(order), np.array([order[value] for value in values], dtype=np.int64)


@dataclass(frozen=True)
class Outcomes:
    """What became of each item under one model and setting; NaN where the item was not asked.

    All are 0 or 1, or means of that: over an item's samples, and over the three prefills in the setting `adversarial`.
    `truncated` is NaN too where an answer does not say how it ended.
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


def grade(
    items: Sequence[Item], rows: Iterable[tuple[str, Mapping[str, Any]]], witness: Witness | None = None
) -> Answers:
    """The outcome of every item from its answer rows, (where, row); `mark` says which rows it refuses.

    `witness` is told of each reading, so that nobody has to read the texts a second time.
    """
    return outcomes_of(mark(items, rows, witness), len(items))


def outcomes_of(marked: Marked, n: int) -> Answers:
    """Outcomes of `n` items: of each item the mean over its samples, of answers in the original order of the options.

    Where a model was asked only in another order in some setting, those answers count. Adds the setting `adversarial`
    where a model has all three prefills.
    """
    answers: Answers = {}
    for model, settings in marked.items():
        own = answers[model] = {setting: _outcomes(marks.scored(), n) for setting, marks in settings.items()}
        if all(setting in own for setting in OPENED):
            own[ADVERSARIAL] = mean_outcomes([own[setting] for setting in OPENED])
    return answers


def _outcomes(marks: Marks, n: int) -> Outcomes:
    counts = np.bincount(marks.item, minlength=n)

    def mean(values: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(marks.item, weights=values, minlength=n) / counts)

    return Outcomes(
        correct=mean(marks.correct),
        no_answer=mean((marks.letter < 0).astype(np.float64)),
        truncated=mean(marks.truncated),
        expected=mean(marks.expected),
        silent=mean(marks.silent),
    )


def mean_outcomes(parts: Sequence[Outcomes]) -> Outcomes:
    """The per-item mean of several settings; an item that misses one of them counts as not asked."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Outcomes)}
    known = {name: column for name, column in columns.items() if all(values is not None for values in column)}
    return Outcomes(**{name: np.mean(column, axis=0) for name, column in known.items()})
