"""What the answers themselves say: their marks by the rule of the scores, and how they came about."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.extraction import without_thought
from components.questions.items import Item
from components.scoring.outcomes import ADVERSARIAL, OPENED, Answers, grade

Row = tuple[str, Mapping[str, Any]]  # where it stands, and the answer
Place = tuple[str, str, str]  # model, setting, stratum


@dataclass(frozen=True)
class Survey:
    """One reading of all answers; only marks and counts are kept, since the texts would fill the memory.

    `graded` has an entry per item, in their order; `withheld` counts what an endpoint's content filter ended.
    """

    graded: Answers = field(default_factory=dict)
    made: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # model -> what its rows say of how
    modes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thoughts: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # share of plain and of opened answers
    withheld: Mapping[Place, float] = field(default_factory=dict)


def survey(items: Sequence[Item], rows: Iterable[Row], models: Collection[str]) -> Survey:
    """Read the answers of `models` once. Raises InputError, as scoring does, for a row that cannot be marked."""
    notes = _Notes({item.id: place for place, item in enumerate(items)}, models)
    known = notes.read(rows)
    first = next(known, None)
    graded = grade(items, itertools.chain([first], known)) if first else {}
    return Survey(graded, notes.made(), notes.modes(), notes.thoughts(), _withheld(items, graded, notes.filtered))


class _Notes:
    """What is written down of each row while it passes on its way to being marked."""

    def __init__(self, places: Mapping[str, int], models: Collection[str]) -> None:
        self.places, self.models = places, models
        self.filtered: list[tuple[str, str, int]] = []
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
        if row.get("finish_reason") == "content_filter" and row.get("item_id") in self.places:
            self.filtered.append((model, str(row.get("setting")), self.places[row["item_id"]]))

    def modes(self) -> dict[str, tuple[str, ...]]:
        return {model: tuple(sorted(seen)) for model, seen in self._modes.items()}

    def made(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for name, by_model in (("prefill_mode", self._modes), ("reported_models", self._reported)):
            for model, seen in by_model.items():
                found[model][name] = ", ".join(sorted(seen))
        return dict(found)

    def thoughts(self) -> dict[str, tuple[float, float]]:
        """Only of models whose answers are there both plainly and with an opening."""
        asked, held = self._asked, self._thought
        both = [model for model, opened in asked if opened and asked[model, False]]
        return {m: (held[m, False] / asked[m, False], held[m, True] / asked[m, True]) for m in both}


def _withheld(items: Sequence[Item], graded: Answers, filtered: Iterable[tuple[str, str, int]]) -> dict[Place, float]:
    """Counts per cell of the scores; in `adversarial`, as there, sums of means over the three openings."""
    counts: Counter[Place] = Counter()
    thirds: Counter[Place] = Counter()
    for model, setting, place in filtered:
        flag = items[place].is_reasoning
        strata = ["all", *([] if flag is None else ["reasoning" if flag else "knowledge"])]
        mean = graded[model].get(ADVERSARIAL)
        for stratum in strata:
            counts[model, setting, stratum] += 1
            if setting in OPENED and mean is not None and mean.asked[place]:
                thirds[model, ADVERSARIAL, stratum] += 1
    return {**counts, **{place: count / len(OPENED) for place, count in thirds.items()}}
