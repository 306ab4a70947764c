"""How much of one question is inside another: weighted containment of word n-grams, stem and options apart.

"Any shared 8-gram" calls most of MedQA contaminated, because examination vignettes share sentences of vital signs. Here
an n-gram weighs what its rarity says (log inverse document frequency), so boilerplate hardly counts, and the options
must agree as well as the stem.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.questions.items import Item, normalise

# An n-gram in more items than this says nothing about which items to compare; it still counts in the comparison.
MAX_POSTINGS = 100
CANDIDATES = 20
# Options that weigh less than this together ("yes, no, maybe") say as much less about a pair. Four options that each
# occur in 70 of 10,000 questions weigh 20.
TELLING_OPTIONS = 20.0


@dataclass(frozen=True)
class Grams:
    """The word n-grams of an item: of its stem (question and context) and of its options, each option on its own."""

    stem: frozenset[str]
    options: frozenset[str]


@dataclass(frozen=True)
class Overlap:
    """Weighted containment from 0 to 1 of the smaller in the larger: of stems, of options, of both taken together.

    `telling`, from 0 to 1, is how much the options can say at all.
    """

    stem: float
    options: float
    whole: float
    telling: float

    @property
    def contamination(self) -> float:
        """The larger of two kinds of evidence, neither of which can do without the stem.

        stem x whole: the item is contained, whatever its options. Two shared sentences do not reach far, a generic
        stem with other options weighs too little in `whole`, and equal options ("IgA, IgG, IgM, IgE") under unlike
        stems are no copy.
        Geometric mean of stem and options: the item was reworded, as MedXpertQA rewords published examination
        questions: half of a vignette's word pairs go, its options betray it. On shared data (CurateConfig says which)
        it found more rewordings at the same number of removals than sums, minima or either part alone.
        """
        return max(self.stem * self.whole, math.sqrt(self.stem * self.telling * self.options))

    @property
    def near_duplicate(self) -> float:
        """The smaller of `stem` and `options`: equal stems with other options are different questions."""
        return min(self.stem, self.options)


def ngrams(text: str, n: int) -> frozenset[str]:
    """The word n-grams of the normalised text; a shorter text is one gram."""
    words = normalise(text).split()
    if not words:
        return frozenset()
    return frozenset(" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))


def item_grams(item: Item, n: int) -> Grams:
    stem = ngrams(item.question, n) | (ngrams(item.context, n) if item.context else frozenset())
    return Grams(stem, frozenset().union(*(ngrams(text, n) for text in item.options.values())))


class Weights:
    """log((N + 1) / (items with the gram + 1/2)) over a collection of N items; most for a gram never seen."""

    def __init__(self, collection: Iterable[Grams]) -> None:
        self._frequency: Counter[str] = Counter()
        self._count = 0
        for grams in collection:
            self._frequency.update(grams.stem | grams.options)
            self._count += 1

    def __call__(self, gram: str) -> float:
        return math.log((self._count + 1) / (self._frequency[gram] + 0.5))

    def total(self, grams: Iterable[str]) -> float:
        return sum(map(self, grams))


class Index:
    """Finds the items that an item may overlap with, without comparing it to all of them."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._items: dict[str, tuple[Grams, float, float]] = {}
        self._postings: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, key: str, grams: Grams) -> None:
        total = self._weights.total
        self._items[key] = (grams, total(grams.stem), total(grams.options))
        for gram in grams.stem | grams.options:
            self._postings[gram].append(key)

    def overlaps(self, grams: Grams) -> Iterator[tuple[str, Overlap]]:
        """The most similar items by shared rare n-grams (at most CANDIDATES), each with its overlap."""
        shared: defaultdict[str, float] = defaultdict(float)
        for gram in grams.stem | grams.options:
            postings = self._postings.get(gram, ())
            if len(postings) <= MAX_POSTINGS:
                weight = self._weights(gram)
                for key in postings:
                    shared[key] += weight
        stem, options = self._weights.total(grams.stem), self._weights.total(grams.options)
        for key in sorted(shared, key=lambda k: -shared[k])[:CANDIDATES]:
            yield key, self._compare(grams, stem, options, *self._items[key])

    def _compare(
        self, a: Grams, stem: float, options: float, b: Grams, other_stem: float, other_options: float
    ) -> Overlap:
        in_stem = self._weights.total(a.stem & b.stem)
        in_options = self._weights.total(a.options & b.options)
        return Overlap(
            stem=_share(in_stem, stem, other_stem),
            options=_share(in_options, options, other_options),
            whole=_share(in_stem + in_options, stem + options, other_stem + other_options),
            telling=min(1.0, min(options, other_options) / TELLING_OPTIONS),
        )


@dataclass(frozen=True)
class Removed:
    """An item left out and the item it is too close to."""

    id: str
    reason: Literal["contamination", "near_duplicate"]
    match: str
    overlap: Overlap

    @property
    def score(self) -> float:
        return self.overlap.contamination if self.reason == "contamination" else self.overlap.near_duplicate

    def row(self) -> dict[str, Any]:
        """For a report: ids and figures, no question text."""
        figures = {"score": self.score, "stem": self.overlap.stem, "options": self.overlap.options}
        return {
            "id": self.id,
            "reason": self.reason,
            "match": self.match,
            **{k: round(v, 3) for k, v in figures.items()},
        }


def decontaminate(
    items: Iterable[Item], questions: Sequence[Item], n: int, threshold: float
) -> tuple[list[Item], list[Removed]]:
    """The items that overlap with no benchmark question, and those that do with at least one."""
    grams = {item.id: item_grams(item, n) for item in questions}
    index = Index(Weights(grams.values()))
    for name, value in grams.items():
        index.add(name, value)
    clean, removed = [], []
    for item in items:
        found = max(index.overlaps(item_grams(item, n)), key=lambda match: match[1].contamination, default=None)
        if found and found[1].contamination >= threshold:
            removed.append(Removed(item.id, "contamination", *found))
        else:
            clean.append(item)
    return clean, removed


def without_near_duplicates(items: Sequence[Item], n: int, threshold: float) -> tuple[list[Item], list[Removed]]:
    """One of each set of near-duplicates: the first with a trace, or the first. The order of the others is kept."""
    grams = {item.id: item_grams(item, n) for item in items}
    index = Index(Weights(grams.values()))
    removed: dict[str, Removed] = {}
    for item in sorted(items, key=lambda item: not item.reasoning):
        found = max(index.overlaps(grams[item.id]), key=lambda match: match[1].near_duplicate, default=None)
        if found and found[1].near_duplicate >= threshold:
            removed[item.id] = Removed(item.id, "near_duplicate", *found)
        else:
            index.add(item.id, grams[item.id])
    return [item for item in items if item.id not in removed], list(removed.values())


def _share(shared: float, one: float, other: float) -> float:
    smaller = min(one, other)
    return min(1.0, shared / smaller) if smaller > 0 else 0.0
