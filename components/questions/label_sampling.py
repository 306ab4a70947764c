"""Which questions two people should label, drawn with known probabilities, so that their labels stand for all.

Questions are drawn by group (a question and its copies get one label), at random within strata of benchmark and
probability of reasoning, more where that probability leaves more open: Neyman's allocation by sqrt(p (1 - p)).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.errors import InputError
from components.questions.items import Item, group_of

LEAST = 2  # groups of a stratum, or all it has: fewer leave its share unknown
_LEAST_SPREAD = 0.1  # even where the classifier is sure it may be wrong


@dataclass(frozen=True)
class Sample:
    """`probability` of every item that could be drawn, copies included; `drawn`: one item of each drawn group."""

    probability: dict[str, float]
    drawn: tuple[str, ...]


def draw_sample(items: Sequence[Item], size: int, bins: int, seed: int) -> Sample:
    """Draw `size` groups out of those without an expert's label, over `bins` equal steps of the probability.

    Raises InputError where an item has no reasoning_prob, or where there are fewer groups than `size`.
    """
    members: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        members[group_of(item)].append(item)
    frame = {g: own for g, own in members.items() if all(i.question_type is None for i in own)}
    for own in frame.values():
        if own[0].reasoning_prob is None:
            raise InputError(f"items: {own[0].id}: reasoning_prob: missing; stratify the items first")
    if len(frame) < size:
        raise InputError(f"size: {size} questions to label, but only {len(frame)} have no label; ask for fewer")
    strata: dict[tuple[str, int], list[str]] = defaultdict(list)
    for group, own in frame.items():
        strata[own[0].dataset_name, min(bins - 1, int((own[0].reasoning_prob or 0.0) * bins))].append(group)
    keys = sorted(strata)
    spreads = [max(_LEAST_SPREAD, _spread([frame[group][0] for group in strata[key]])) for key in keys]
    counts = allocate([len(strata[key]) for key in keys], spreads, size)
    rng = np.random.default_rng(seed)
    probability: dict[str, float] = {}
    drawn: list[str] = []
    for key, count in zip(keys, counts, strict=True):
        own_groups = strata[key]
        probability |= {item.id: count / len(own_groups) for group in own_groups for item in frame[group]}
        drawn += [frame[own_groups[place]][0].id for place in sorted(rng.permutation(len(own_groups))[:count])]
    return Sample(probability, tuple(drawn[place] for place in rng.permutation(len(drawn))))


def _spread(items: Sequence[Item]) -> float:
    probabilities = [item.reasoning_prob or 0.0 for item in items]
    return math.fsum(math.sqrt(p * (1 - p)) for p in probabilities) / len(items)


def allocate(sizes: Sequence[int], spreads: Sequence[float], total: int) -> list[int]:
    """How many to draw of each stratum: in proportion to size x spread, at least LEAST or all, `total` in all.

    Where the strata's least numbers alone exceed `total`, raises InputError.
    """
    size = np.asarray(sizes)
    least = np.minimum(size, LEAST)
    if least.sum() > total:
        raise InputError(f"size: {total} is less than {LEAST} questions of each of {len(size)} strata; take fewer bins")
    counts = least.copy()
    wanted = _shares(size, np.asarray(spreads), total)
    while (missing := total - int(counts.sum())) > 0:
        gap = np.where(counts < size, wanted - counts, -np.inf)
        counts[np.argsort(-gap, kind="stable")[: max(1, min(missing, int((gap > 0).sum())))]] += 1
    return [int(count) for count in counts]


def _shares(size: NDArray[np.int64], spread: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Neyman's shares of `total`, none above its stratum."""
    weight = size * spread
    shares = np.zeros(len(size))
    full = np.zeros(len(size), dtype=bool)
    for _ in range(len(size)):
        left = total - float(size[full].sum())
        shares = np.where(full, size, left * weight / max(float(weight[~full].sum()), 1e-12))
        over = ~full & (shares > size)
        if not over.any():
            break
        full |= over
    return shares
