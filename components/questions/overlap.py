"""How much of one question is inside another: weighted containment of word n-grams, stem and options apart.

"Any shared 8-gram" calls most of MedQA contaminated, because examination vignettes share sentences of vital signs. Here
an n-gram weighs what its rarity says (log inverse document frequency), so boilerplate hardly counts, and the options
must agree as well as the stem.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from components.questions.grams import Array, Sets, Vocabulary, stems_and_options, unique
from components.questions.items import Item

# An n-gram in more items than this says nothing about which items to compare; it still counts in the comparison.
MAX_POSTINGS = 100
# Items of which pairs are looked for at a time: what memory is needed at once.
BATCH = 2000
PAIRS = 100_000
# Options that weigh less than this together ("yes, no, maybe") say as much less about a pair. Four options that each
# occur in 70 of 10,000 questions weigh 20.
TELLING_OPTIONS = 20.0


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


class Weights:
    """log((N + 1) / (items with the gram + 1/2)) over a collection of N items; most for a gram never seen."""

    def __init__(self, stems: Sets, options: Sets) -> None:
        both = _union(stems, options)
        self.known, self.items_with = np.unique(both.grams, return_counts=True)
        self._weight = np.log((stems.count + 1) / (self.items_with + 0.5))
        self._unseen = math.log((stems.count + 1) / 0.5)

    def columns(self, grams: Array) -> Array:
        """The place of each gram among the known ones; -1 for one never seen."""
        if not len(self.known):
            return np.full(len(grams), -1)
        place = np.minimum(np.searchsorted(self.known, grams), len(self.known) - 1)
        return np.where(self.known[place] == grams, place, -1)

    def of(self, columns: Array) -> Array:
        """The weight of each gram, given its place."""
        return np.where(columns >= 0, self._weight[columns] if len(self._weight) else 0.0, self._unseen)


@dataclass(frozen=True)
class Side:
    """Items as arrays: totals of each, and sparse rows of known grams (stems, options, rare ones of either)."""

    stem: Array
    option: Array
    stem_common: Array
    option_common: Array
    stems: Any
    options: Any
    rare: Any

    @classmethod
    def of(cls, stems: Sets, options: Sets, weights: Weights, rare: Array) -> Side:
        return cls(
            stem=_totals(stems, weights),
            option=_totals(options, weights),
            stem_common=_totals(stems, weights, ~rare),
            option_common=_totals(options, weights, ~rare),
            stems=_matrix(stems, weights),
            options=_matrix(options, weights),
            rare=_matrix(_union(stems, options), weights, rare),
        )

    def only(self, rows: Array) -> Side:
        return Side(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Pairs:
    """Overlaps of pairs of items (`one[k]`, `other[k]`), as arrays of the fields of Overlap."""

    one: Array
    other: Array
    stem: Array
    options: Array
    whole: Array
    telling: Array

    def overlap(self, number: int) -> Overlap:
        fields = (self.stem, self.options, self.whole, self.telling)
        return Overlap(*(float(values[number]) for values in fields))

    @property
    def contamination(self) -> Array:
        found: Array = np.maximum(self.stem * self.whole, np.sqrt(self.stem * self.telling * self.options))
        return found

    @property
    def near_duplicate(self) -> Array:
        found: Array = np.minimum(self.stem, self.options)
        return found


def compared(one: Side, other: Side, least_stem: float, least_options: float) -> Pairs:
    """Every pair that shares a rare gram and could have overlaps of stems and options of at least these.

    A pair's overlap is at most its shared rare grams and all its common ones: what cannot reach the least is left out
    before it is compared.
    """
    found = []
    for start in range(0, one.rare.shape[0], BATCH):
        shared = (one.rare[start : start + BATCH] @ _plain(other.rare).T).tocoo()
        a, b, weight = shared.row + start, shared.col, shared.data
        keep = _reaches(weight, one.stem, other.stem, one.stem_common, other.stem_common, a, b, least_stem)
        keep &= _reaches(weight, one.option, other.option, one.option_common, other.option_common, a, b, least_options)
        found.append(np.stack([a[keep], b[keep]]))
    pairs = np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64)
    return overlaps(one, other, pairs[0], pairs[1])


def overlaps(one: Side, other: Side, a: Array, b: Array) -> Pairs:
    """The overlaps of the pairs (a[k], b[k])."""
    in_stem, in_options = _shared(one.stems, other.stems, a, b), _shared(one.options, other.options, a, b)
    stem, other_stem, option, other_option = one.stem[a], other.stem[b], one.option[a], other.option[b]
    return Pairs(
        one=a,
        other=b,
        stem=_share(in_stem, np.minimum(stem, other_stem)),
        options=_share(in_options, np.minimum(option, other_option)),
        whole=_share(in_stem + in_options, np.minimum(stem + option, other_stem + other_option)),
        telling=np.minimum(1.0, np.minimum(option, other_option) / TELLING_OPTIONS),
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
    items, vocabulary = list(items), Vocabulary()
    asked = stems_and_options(questions, n, vocabulary)
    weights = Weights(*asked)
    rare = weights.items_with <= MAX_POSTINGS
    given = Side.of(*stems_and_options(items, n, vocabulary), weights, rare)
    # Both kinds of evidence need the stem: stem x whole, or the root of stem x options.
    pairs = compared(given, Side.of(*asked, weights, rare), threshold**2, 0.0)
    score = pairs.contamination
    best: dict[int, int] = {}
    for k in np.flatnonzero(score >= threshold).tolist():
        item = int(pairs.one[k])
        if item not in best or score[k] > score[best[item]]:
            best[item] = k
    removed = [
        Removed(items[item].id, "contamination", questions[int(pairs.other[k])].id, pairs.overlap(k))
        for item, k in sorted(best.items())
    ]
    return [item for number, item in enumerate(items) if number not in best], removed


def without_near_duplicates(items: Sequence[Item], n: int, threshold: float) -> tuple[list[Item], list[Removed]]:
    """One of each set of near-duplicates: the first with a trace, or the first. The order of the others is kept."""
    ranked = sorted(range(len(items)), key=lambda number: not items[number].reasoning)
    stems, options = stems_and_options([items[number] for number in ranked], n, Vocabulary())
    weights = Weights(stems, options)
    first = _first_of_equals(stems, options)
    alone = np.flatnonzero(first == np.arange(len(ranked)))  # ranks of those that stand for their equals
    # Of one question's copies the first stands for all, so that many copies do not make its words common ones.
    seen, often = np.unique(_only(_union(stems, options), first).grams, return_counts=True)
    rare = np.zeros(len(weights.known), dtype=bool)
    rare[weights.columns(seen)] = often <= MAX_POSTINGS
    side = Side.of(stems, options, weights, rare)
    chosen = side.only(alone)
    pairs = compared(chosen, chosen, threshold, threshold)
    matched = _greedy(pairs, threshold)
    out: dict[int, tuple[int, Overlap]] = {
        int(alone[one]): (int(alone[other]), overlap) for one, (other, overlap) in matched.items()
    }
    copies = np.flatnonzero(first != np.arange(len(ranked)))
    equal = overlaps(side, side, copies, first[copies])
    for k, copy in enumerate(copies.tolist()):
        out[copy] = out.get(int(first[copy])) or (int(first[copy]), equal.overlap(k))
    removed = [
        Removed(items[ranked[rank]].id, "near_duplicate", items[ranked[match]].id, overlap)
        for rank, (match, overlap) in sorted(out.items())
    ]
    gone = {ranked[rank] for rank in out}
    return [item for number, item in enumerate(items) if number not in gone], removed


def _greedy(pairs: Pairs, threshold: float) -> dict[int, tuple[int, Overlap]]:
    """The rows that a kept row before them is near to, each with the nearest such row and their overlap."""
    score = pairs.near_duplicate
    near = np.flatnonzero((score >= threshold) & (pairs.other < pairs.one))
    order = near[np.lexsort((pairs.other[near], -score[near], pairs.one[near]))]
    out: dict[int, tuple[int, Overlap]] = {}
    for k in order.tolist():
        one, other = int(pairs.one[k]), int(pairs.other[k])
        if one not in out and other not in out:
            out[one] = (other, pairs.overlap(k))
    return out


def _first_of_equals(stems: Sets, options: Sets) -> Array:
    """For each item the first with the same grams in stem and options; itself where either has none."""
    seen: dict[tuple[bytes, bytes], int] = {}
    first = np.arange(stems.count)
    bounds = [np.searchsorted(sets.owner, np.arange(sets.count + 1)) for sets in (stems, options)]
    for number in range(stems.count):
        parts = [
            sets.grams[edge[number] : edge[number + 1]].tobytes()
            for sets, edge in zip((stems, options), bounds, strict=True)
        ]
        if all(parts):
            first[number] = seen.setdefault((parts[0], parts[1]), number)
    return first


def _only(sets: Sets, first: Array) -> Sets:
    """The grams of the items that stand for their equals."""
    keep = first[sets.owner] == sets.owner
    return Sets(sets.owner[keep], sets.grams[keep], sets.count)


def _union(one: Sets, other: Sets) -> Sets:
    owner, grams = np.concatenate([one.owner, other.owner]), np.concatenate([one.grams, other.grams])
    return unique(owner, grams, one.count)


def _totals(sets: Sets, weights: Weights, among: Array | None = None) -> Array:
    """The weight of each item's grams, of those `among` the known ones where that is given."""
    columns = weights.columns(sets.grams)
    value = weights.of(columns)
    if among is not None:
        value = np.where((columns >= 0) & _picked(among, columns), value, 0.0)
    return np.bincount(sets.owner, weights=value, minlength=sets.count)


def _picked(among: Array, columns: Array) -> Array:
    found: Array = among[columns] if len(among) else np.zeros(len(columns), dtype=bool)
    return found


def _matrix(sets: Sets, weights: Weights, among: Array | None = None) -> Any:
    """Items x known grams; the entries are the grams' weights."""
    columns = weights.columns(sets.grams)
    keep = columns >= 0
    if among is not None:
        keep &= _picked(among, columns)
    place = (sets.owner[keep], columns[keep])
    from scipy.sparse import csr_matrix  # a quarter of a second that a compile need not wait for

    return csr_matrix((weights.of(columns[keep]), place), shape=(sets.count, len(weights.known)))


def _plain(matrix: Any) -> Any:
    """The same entries, each of them 1."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _reaches(
    shared: Array, one: Array, other: Array, one_common: Array, other_common: Array, a: Array, b: Array, least: float
) -> Array:
    most = shared + np.minimum(one_common[a], other_common[b])
    found: Array = most >= least * np.minimum(one[a], other[b]) * (1 - 1e-9)
    return found


def _shared(one: Any, other: Any, a: Array, b: Array) -> Array:
    """The weight of what the rows a[k] and b[k] have in common."""
    ones = _plain(other)
    found = [
        np.asarray(one[a[k : k + PAIRS]].multiply(ones[b[k : k + PAIRS]]).sum(axis=1)).ravel()
        for k in range(0, len(a), PAIRS)
    ]
    return np.concatenate(found) if found else np.zeros(0)


def _share(shared: Array, smaller: Array) -> Array:
    safe = np.where(smaller > 0, smaller, 1.0)
    found: Array = np.where(smaller > 0, np.minimum(1.0, shared / safe), 0.0)
    return found
