"""What guessing gets: of each item the better of two baselines, and how often each letter is the key.

The baseline c of an item is the better of 1 / options and always answering the commonest key of its benchmark (PubMedQA
55.2 % "yes"). The commonest key counts only where it is commoner than chance would make it: the largest of ten shares
of a fair key is above a tenth in every small benchmark.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.questions.items import Item, group_of

Array = NDArray[np.float64]

LEVEL = 0.01  # of the test that a key is commoner than chance; our choice, Bonferroni over the letters


@dataclass(frozen=True)
class Guesses:
    """Of N items: `baseline` c, and `shares`, per item how often each letter is the key where it is an option."""

    baseline: Array
    shares: tuple[Mapping[str, float], ...]


def guesses(items: Sequence[Item]) -> Guesses:
    """Baselines of `items`; copies of a question count once in a benchmark's shares of keys."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        places[item.dataset_name].append(place)
    baseline = np.array([1 / len(item.options) for item in items])
    shares: list[Mapping[str, float]] = [{}] * len(items)
    for inside in places.values():
        own = [items[place] for place in inside]
        weights = _once(own)
        commonest = _commonest(own, weights)
        baseline[inside] = np.maximum(baseline[inside], commonest)
        for place, share in zip(inside, _key_shares(own, weights), strict=True):
            shares[place] = share
    return Guesses(baseline, tuple(shares))


def _once(items: Sequence[Item]) -> list[float]:
    groups = [group_of(item) for item in items]
    sizes = Counter(groups)
    return [1 / sizes[group] for group in groups]


def _commonest(items: Sequence[Item], weights: Sequence[float]) -> float:
    """The share of the commonest key, 0 where no key is commoner than chance at LEVEL."""
    from scipy.special import bdtrc

    right, expected = Counter[str](), Counter[str]()
    for item, weight in zip(items, weights, strict=True):
        right[item.answer_idx] += weight  # type: ignore[assignment]
        for letter in item.options:
            expected[letter] += weight / len(item.options)  # type: ignore[assignment]
    total = sum(weights)
    letter, count = max(right.items(), key=lambda pair: (pair[1], pair[0]))
    # The chance of as many or more; a binomial of the mean probability is wider than that of unequal ones.
    p = float(bdtrc(max(0, round(count) - 1), round(total), min(1.0, expected[letter] / total)))
    return count / total if p * len(expected) < LEVEL and count < total else 0.0


def _key_shares(items: Sequence[Item], weights: Sequence[float]) -> list[Mapping[str, float]]:
    """Per item, how often each of its letters is the key among the items with as many options."""
    by_size: dict[int, Counter[str]] = defaultdict(Counter)
    for item, weight in zip(items, weights, strict=True):
        by_size[len(item.options)][item.answer_idx] += weight  # type: ignore[assignment]
    found = {size: {k: v / sum(keys.values()) for k, v in keys.items()} for size, keys in by_size.items()}
    return [found[len(item.options)] for item in items]
