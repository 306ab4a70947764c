"""Overlap one item at a time, as it is defined: slow, and what the arrays of components/questions are tested by."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from components.questions.items import Item, normalise
from components.questions.overlap import TELLING_OPTIONS, Overlap

# An n-gram in more items than this says nothing about which items to compare; it still counts in the comparison.
MAX_POSTINGS = 100
CANDIDATES = 20


@dataclass(frozen=True)
class Grams:
    """The word n-grams of an item: of its stem (question and context) and of its options, each option on its own."""

    stem: frozenset[str]
    options: frozenset[str]


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


def _share(shared: float, one: float, other: float) -> float:
    smaller = min(one, other)
    return min(1.0, shared / smaller) if smaller > 0 else 0.0
