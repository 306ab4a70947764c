"""Kitagawa's split of a pooled gap: which part is within benchmarks, which is where the questions of each kind lie.

Kitagawa 1955, JASA 50:1168. With the share s of a side's items that a benchmark holds and the accuracy a there,

    within  = sum of (s_k + s_r) / 2 * (a_k - a_r)      the same kinds of questions, answered differently
    between = sum of (s_k - s_r) * (a_k + a_r) / 2      easier benchmarks hold more of one kind

and their sum is the pooled gap. A benchmark that holds one kind only has no gap of its own: all of it is between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kitagawa(sums: Array) -> tuple[Array, Array]:
    """(within, between) of sums shaped (benchmarks, ..., 4): right answers and items, knowledge then reasoning.

    NaN where a side has no items at all.
    """
    right, items = sums[..., 0::2], sums[..., 1::2]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = items / items.sum(axis=0)
        accuracy = right / items
    empty = items <= 0
    accuracy = np.where(empty, np.flip(accuracy, axis=-1), accuracy)
    accuracy = np.where(empty.all(axis=-1, keepdims=True), 0.0, accuracy)
    share_k, share_r, right_k, right_r = shares[..., 0], shares[..., 1], accuracy[..., 0], accuracy[..., 1]
    within = ((share_k + share_r) / 2 * (right_k - right_r)).sum(axis=0)
    return np.asarray(within), np.asarray(((share_k - share_r) * (right_k + right_r) / 2).sum(axis=0))
