"""Several answers to each question: the mean, pass@k, the majority's choice, and how far one seed differs from another.

The interval of the mean is the group-robust one of the items' means over their samples, and it covers both levels. An
item's mean varies between questions by the spread of their true rates p_i plus that of the draws within them,

    Var(mean_i) = Var(p_i) + E[p_i (1 - p_i)] / k,

and the spread of the observed means estimates just this sum, whatever k is. Taking the n * k answers for independent
ones would count each question k times (tests/scoring/test_samples.py measures both).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.questions.askings import OPENED, SETTINGS
from components.scoring.askings.marking import Marked, Marks
from components.scoring.askings.shares import TAIL, Array, Codes, Record, weighted, with_interval
from components.scoring.gate.paired import paired
from components.scoring.outcomes import ADVERSARIAL, STRATA, ItemTable
from components.scoring.proportions import copy_weights


def pass_at(right: Array, samples: int, k: int) -> Array:
    """The chance that at least one of `k` answers is right, unbiased from `right` right ones of `samples` >= k.

    1 - C(n - c, k) / C(n, k) per item (Chen et al. 2021, arXiv 2107.03374, eq. 1).
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {samples}")
    factors = 1.0 - k / (samples - np.arange(samples, dtype=np.float64))  # of n = samples, samples - 1, ..., 1
    # C(n - c, k) / C(n, k) is the product of (1 - k / m) over m = n - c + 1 .. n, and 0 where fewer than k are wrong.
    products = np.concatenate([[1.0], np.cumprod(np.maximum(factors, 0.0))])
    return np.asarray(1.0 - products[np.round(right).astype(np.int64)])


def majority(letters: Codes) -> Codes:
    """Each item's most frequent choice, from items x samples option numbers; -1 for a tie, or where none was made.

    Answers without a choice (-1) have no vote.
    """
    most = int(letters.max(initial=-1)) + 1
    if most == 0:
        return np.full(len(letters), -1, dtype=np.int64)
    votes = np.stack([(letters == option).sum(axis=1) for option in range(most)], axis=1)
    top = votes.max(axis=1)
    alone = (votes == top[:, None]).sum(axis=1) == 1
    return np.where(alone & (top > 0), votes.argmax(axis=1), -1).astype(np.int64)


def sample_records(table: ItemTable, marked: Marked) -> list[Record]:
    """A record per model, setting and stratum that was asked more than once, over the items that have every sample.

    `adversarial` is the mean of the three prefills, sample by sample. All figures count the copies of a question in
    one benchmark as one.
    """
    records = []
    for model, settings in marked.items():
        assert table.keys is not None
        keys = table.keys
        found: dict[str, _Draws] = {}
        for setting in SETTINGS:
            if setting in settings and (own := _Draws.of(settings[setting].scored(), keys)) is not None:
                found[setting] = own
        opened = [found[s] for s in OPENED if s in found]
        if len(opened) == len(OPENED) and len({draws.k for draws in opened}) == 1:
            found[ADVERSARIAL] = _Draws.mean(opened)
        for name, draws in found.items():
            for stratum in STRATA if table.stratified else STRATA[:1]:
                inside = table.mask(stratum)[draws.item]
                if inside.any():
                    key = {"model": model, "setting": name, "stratum": stratum}
                    records.append({**key, **draws.record(table, inside)})
    return records


@dataclass(frozen=True)
class _Draws:
    """What became of the k answers to each item that has all of them: an entry, or a row, per item."""

    item: Codes
    correct: Array  # items x k, 0..1
    passed: Array  # items x k: pass@1 to pass@k
    majority: Array
    undecided: Array
    incomplete: int  # items that lack a sample

    @property
    def k(self) -> int:
        return self.correct.shape[1]

    @classmethod
    def of(cls, marks: Marks, keys: Codes) -> _Draws | None:
        k = int(marks.sample.max(initial=0)) + 1
        items, place, counts = np.unique(marks.item, return_inverse=True, return_counts=True)
        whole = counts == k
        if k < 2 or not whole.any():
            return None
        correct, letters = np.zeros((len(items), k)), np.full((len(items), k), -1, dtype=np.int64)
        correct[place, marks.sample], letters[place, marks.sample] = marks.correct, marks.letter
        items, correct, chosen = items[whole], correct[whole], majority(letters[whole])
        right = correct.sum(axis=1)
        return cls(
            items,
            correct,
            np.stack([pass_at(right, k, j) for j in range(1, k + 1)], axis=1),
            (chosen == keys[items]).astype(np.float64),
            (chosen < 0).astype(np.float64),
            int((~whole).sum()),
        )

    @classmethod
    def mean(cls, parts: list[_Draws]) -> _Draws:
        """The mean of several settings, over the items that have all samples in each."""
        items = parts[0].item
        for part in parts[1:]:
            items = np.intersect1d(items, part.item)
        places = [np.searchsorted(part.item, items) for part in parts]

        def means(name: str) -> Array:
            columns = [getattr(part, name)[place] for part, place in zip(parts, places, strict=True)]
            return np.asarray(np.mean(columns, axis=0))

        everything = len(np.unique(np.concatenate([part.item for part in parts])))
        less = max(part.incomplete for part in parts) + everything - len(items)
        return cls(items, means("correct"), means("passed"), means("majority"), means("undecided"), less)

    def record(self, table: ItemTable, inside: NDArray[np.bool_]) -> Record:
        """`spread_low` and `spread_high`: the lowest and the highest accuracy of one seed; `spread_sd` between seeds.

        `majority_gain` is what the majority's choice gains over one answer, by question group. `se_samples` is the part
        of the standard error that more samples would remove, `se` all of it.
        """
        groups, parts = table.groups[self.item[inside]], table.benchmark[self.item[inside]]
        weights = copy_weights(groups, parts)
        seeds = weights @ self.correct[inside] / weights.sum()
        values = self.correct[inside].mean(axis=1)
        within = self.correct[inside].var(axis=1, ddof=1) / self.k

        centred = np.bincount(groups, weights=weights * (values - weighted(values, weights))) / weights.sum()
        count = int((np.bincount(groups) > 0).sum())
        passed = self.passed[inside]
        gain = paired(self.majority[inside], values, groups)
        return {
            "n": int(inside.sum()),
            "groups": count,
            "k": self.k,
            "incomplete": self.incomplete,
            **with_interval("mean", values, groups, weights),
            **with_interval("pass_at_k", passed[:, -1], groups, weights),
            "pass_at": [weighted(column, weights) for column in passed.T],
            **with_interval("majority", self.majority[inside], groups, weights),
            "majority_undecided": weighted(self.undecided[inside], weights),
            "majority_gain": gain.estimate if gain else None,
            "majority_gain_low": gain.lower(TAIL) if gain else None,
            "majority_gain_high": gain.upper(TAIL) if gain else None,
            "spread_low": float(seeds.min()),
            "spread_high": float(seeds.max()),
            "spread_sd": float(seeds.std(ddof=1)),
            "se": math.sqrt(count / (count - 1) * float(centred @ centred)) if count > 1 else None,
            "se_samples": math.sqrt(float(weights**2 @ within)) / float(weights.sum()),
        }
