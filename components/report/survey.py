"""What the answers themselves say: their marks by the rule of the scores, how they were read, how they came about."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.extraction import Reading, without_thought
from components.questions.askings import OPENED
from components.questions.items import Item, group_of
from components.questions.prefills.named import named_option
from components.scoring.askings.marking import order_of, sample_of
from components.scoring.outcomes import ADVERSARIAL, Answers, grade
from components.scoring.prefills import Outcome, Prefilled, outcome_shares, prefill_outcome
from components.scoring.readings import Letters, Probed, letters, probed

Row = tuple[str, Mapping[str, Any]]  # where it stands, and the answer
Place = tuple[str, str, str]  # model, setting, stratum


@dataclass(frozen=True)
class Survey:
    """One reading of all answers; only marks and counts are kept, since the texts would fill the memory.

    `graded` has an entry per item, in their order; `withheld` counts what an endpoint's content filter ended,
    `too_long` the questions that did not fit the model's context. The other mappings are by model: what its rows say of
    how they came about, how it was given prefills, the shares of its plain and of its prefilled answers that hold a
    thought, how many answers each rule read (or why none), the letters of its plain answers, what became of prefills,
    and the probe's findings.
    """

    graded: Answers = field(default_factory=dict)
    made: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    modes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thoughts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    withheld: Mapping[Place, float] = field(default_factory=dict)
    too_long: Mapping[Place, float] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    letters: Mapping[str, Letters] = field(default_factory=dict)
    prefills: Mapping[str, Prefilled] = field(default_factory=dict)
    probes: Mapping[str, Probed] = field(default_factory=dict)


def survey(items: Sequence[Item], rows: Iterable[Row], models: Collection[str]) -> Survey:
    """Read the answers of `models` once. Raises InputError, as scoring does, for a row that cannot be marked."""
    notes, readings = _Notes({item.id: place for place, item in enumerate(items)}, models), _Readings(items)
    known = notes.read(rows)
    first = next(known, None)
    graded = grade(items, itertools.chain([first], known), readings.add) if first else {}
    return Survey(
        graded,
        notes.made(),
        notes.modes(),
        notes.thoughts(),
        _ended(items, graded, notes, "content_filter"),
        _ended(items, graded, notes, "too_long"),
        readings.rules,
        readings.letters(),
        readings.prefills(),
        readings.probes(),
    )


class _Readings:
    """What is kept of each reading: item places, letters and outcomes, by model. Texts and old marks are not."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.rules: dict[str, Counter[str]] = defaultdict(Counter)
        self._items = items
        self._groups = np.unique([group_of(item) for item in items], return_inverse=True)[1].astype(np.int64)
        self._plain: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._outcomes: dict[str, list[tuple[int, Outcome]]] = defaultdict(list)
        self._right: Counter[str] = Counter()
        self._unnamed: Counter[str] = Counter()
        self._probed: dict[str, list[tuple[int, str | None, str]]] = defaultdict(list)
        self._named: dict[tuple[int, str], str | None] = {}

    def add(self, row: Mapping[str, Any], place: int, reading: Reading) -> None:
        """Answers in another order of the options are left to the section on positions, but for rules and probe."""
        model, letter = row["model"], reading.letter
        self.rules[model][reading.read_by] += 1
        if order_of(row, self._items[place], "answers") is None:
            self._add_original(row, place, letter)
        if isinstance(row.get("probe"), str) and row["probe"]:
            self._probed[model].append((place, letter, row["probe"]))

    def _add_original(self, row: Mapping[str, Any], place: int, letter: str | None) -> None:
        if row["setting"] in OPENED:
            self._add_prefilled(row, place, letter)
        elif letter is not None:
            self._plain[row["model"]].append((place, letter))

    def _add_prefilled(self, row: Mapping[str, Any], place: int, letter: str | None) -> None:
        model, item = row["model"], self._items[place]
        text = row.get("prefill") or item.opening(OPENED.index(row["setting"])) or ""
        if (named := self._option(place, str(text))) is None:
            self._unnamed[model] += 1
            return
        outcome = prefill_outcome(row["output"], letter, named, row.get("finish_reason"))
        self._outcomes[model].append((place, outcome))
        self._right[model] += outcome == "corrected" and letter == item.answer_idx

    def _option(self, place: int, prefill: str) -> str | None:
        """The option that a prefill names; models share prefills, so each is read once."""
        key = place, prefill
        if key not in self._named:
            self._named[key] = named_option(prefill, self._items[place].options)
        return self._named[key]

    def letters(self) -> dict[str, Letters]:
        return {
            model: letters([letter for _, letter in own], self._keys(own), self._of(own))
            for model, own in self._plain.items()
        }

    def prefills(self) -> dict[str, Prefilled]:
        return {
            model: outcome_shares([o for _, o in own], self._of(own), self._right[model], self._unnamed[model])
            for model, own in self._outcomes.items()
        }

    def probes(self) -> dict[str, Probed]:
        return {
            model: probed([rule for _, rule, _ in own], [said for *_, said in own], self._keys(own), self._of(own))
            for model, own in self._probed.items()
        }

    def _keys(self, own: Sequence[tuple[Any, ...]]) -> list[str]:
        return [self._items[entry[0]].answer_idx for entry in own]

    def _of(self, own: Sequence[tuple[Any, ...]]) -> Any:
        """The question group of each entry."""
        return self._groups[[entry[0] for entry in own]]


class _Notes:
    """What is written down of each row while it passes on its way to being marked."""

    def __init__(self, places: Mapping[str, int], models: Collection[str]) -> None:
        self.places, self.models = places, models
        self.ended: dict[str, list[tuple[str, str, int]]] = {"content_filter": [], "too_long": []}
        self.samples: dict[tuple[str, str], int] = defaultdict(int)  # answers to each question, by model and setting
        self._modes: dict[str, set[str]] = defaultdict(set)
        self._reported: dict[str, set[str]] = defaultdict(set)
        self._asked: Counter[tuple[str, bool]] = Counter()
        self._thought: Counter[tuple[str, bool]] = Counter()

    def read(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Note every row of the models; pass on those that belong to a known item."""
        for where, row in rows:
            if row.get("model") not in self.models:
                continue
            self._note(row)
            if row.get("item_id") in self.places:
                yield where, row

    def _note(self, row: Mapping[str, Any]) -> None:
        model, opened = row["model"], row.get("setting") in OPENED
        for name, seen in (("prefill_mode", self._modes), ("reported_model", self._reported)):
            if row.get(name):
                seen[model].add(str(row[name]))
        output = str(row.get("output") or "")
        self._asked[model, opened] += 1
        self._thought[model, opened] += without_thought(output) != output
        setting = str(row.get("setting"))
        self.samples[model, setting] = max(self.samples[model, setting], sample_of(row, "answers") + 1)
        ended = self.ended.get(str(row.get("finish_reason")))
        if ended is not None and row.get("item_id") in self.places and not row.get("order"):
            ended.append((model, setting, self.places[row["item_id"]]))

    def modes(self) -> dict[str, tuple[str, ...]]:
        return {model: tuple(sorted(seen)) for model, seen in self._modes.items()}

    def made(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for name, by_model in (("prefill_mode", self._modes), ("reported_models", self._reported)):
            for model, seen in by_model.items():
                found[model][name] = ", ".join(sorted(seen))
        return dict(found)

    def thoughts(self) -> dict[str, tuple[float, float]]:
        """Only of models whose answers are there both plainly and after prefills."""
        asked, held = self._asked, self._thought
        both = [model for model, opened in asked if opened and asked[model, False]]
        return {m: (held[m, False] / asked[m, False], held[m, True] / asked[m, True]) for m in both}


def _ended(items: Sequence[Item], graded: Answers, notes: _Notes, how: str) -> dict[Place, float]:
    """Counts per cell of the scores; as there, means over samples and, in `adversarial`, over the three prefills."""
    counts: dict[Place, float] = defaultdict(float)
    thirds: dict[Place, float] = defaultdict(float)
    for model, setting, place in notes.ended[how]:
        flag = items[place].is_reasoning
        strata = ["all", *([] if flag is None else ["reasoning" if flag else "knowledge"])]
        mean = graded[model].get(ADVERSARIAL)
        for stratum in strata:
            counts[model, setting, stratum] += 1 / notes.samples[model, setting]
            if setting in OPENED and mean is not None and mean.asked[place]:
                thirds[model, ADVERSARIAL, stratum] += 1 / notes.samples[model, setting]
    return {**counts, **{place: count / len(OPENED) for place, count in thirds.items()}}
