"""Several sequences in one row without a pad token between them: packs for SFT.

Every optimizer step sees the same sequences as without packing, and its loss is the mean over the same tokens; only
how they are laid out differs. Position ids start again at each sequence. With them and without a cache, transformers
masks attention between sequences in every attention implementation (transformers/masking_utils.py,
find_packed_sequence_indices). attention.py does without that mask.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from components.errors import InputError

Pack = list[int]  # numbers of rows


@dataclass(frozen=True)
class Packed:
    """Packs in the order in which they are read: `per_step` of them make one optimizer step."""

    packs: list[Pack]
    per_step: int
    idle_share: float  # of the tokens that fit while the fullest of the packs computed side by side is computed


def pack_steps(lengths: Sequence[int], order: Sequence[int], rows: int, tokens: int, processes: int) -> Packed:
    """Divide each step's `rows` rows of `order` into packs of at most `tokens` tokens.

    All steps have the same number of packs, a multiple of `processes`: as many as the fullest step needs. A step's rows
    are spread evenly over them, and packs of like size follow one another, because those are computed side by side.
    Raises InputError when `rows` are too few to give every process a pack.
    """
    steps = [order[start : start + rows] for start in range(0, len(order), rows)]
    fitted = [_first_fit(lengths, step, tokens) for step in steps]
    needed = max(map(len, fitted))
    count = -(-needed // processes) * processes
    if count > rows:
        raise InputError(
            f"sft.global_batch: {rows} sequences a step are too few for {count} packs of at most {tokens} tokens, the "
            f"same number on each of {processes} processes; raise global_batch or tokens_per_pack"
        )
    packs: list[Pack] = []
    idle = whole = 0
    for step, tight in zip(steps, fitted, strict=True):
        laid = _even(lengths, step, count)
        if max(_size(lengths, pack) for pack in laid) > tokens:
            laid = _split(lengths, tight, count)
        laid.sort(key=lambda pack: -_size(lengths, pack))
        packs += laid
        for start in range(0, count, processes):
            sizes = [_size(lengths, pack) for pack in laid[start : start + processes]]
            whole += max(sizes) * processes
            idle += max(sizes) * processes - sum(sizes)
    return Packed(packs, count, idle / whole)


def pack_rows(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
    """One row of tensors, shape (1, tokens): input_ids, labels, and position_ids that start again at each sequence.

    With transformers' names for where sequences begin: cu_seq_lens_q and _k, shape (rows + 1,), int32, and the longest
    one's tokens, max_length_q and _k. A sequence's first label is its prompt's, so nothing is learnt across an edge.
    """
    import torch

    ids = [token for row in rows for token in row["input_ids"]]
    labels = [label for row in rows for label in row["labels"]]
    lengths = [len(row["input_ids"]) for row in rows]
    positions = [position for length in lengths for position in range(length)]
    edges = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.tensor([positions]),
        "cu_seq_lens_q": edges,
        "cu_seq_lens_k": edges,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


class PackCollator:
    """A data collator for a data set of packs (column `rows`): the tokens are looked up, not stored once an epoch."""

    def __init__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> None:
        self.rows = rows

    def __call__(self, packs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return pack_rows([self.rows[number] for pack in packs for number in pack["rows"]])


def _size(lengths: Sequence[int], pack: Pack) -> int:
    return sum(lengths[row] for row in pack)


def _first_fit(lengths: Sequence[int], rows: Sequence[int], tokens: int) -> list[Pack]:
    """First fit, longest first: at most a fifth more packs than the best possible."""
    packs: list[Pack] = []
    free: list[int] = []
    for row in sorted(rows, key=lambda row: -lengths[row]):
        place = next((k for k, space in enumerate(free) if space >= lengths[row]), None)
        if place is None:
            packs.append([])
            free.append(tokens)
            place = len(packs) - 1
        packs[place].append(row)
        free[place] -= lengths[row]
    return packs


def _even(lengths: Sequence[int], rows: Sequence[int], count: int) -> list[Pack]:
    """Longest first, each into the emptiest pack."""
    packs: list[Pack] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for row in sorted(rows, key=lambda row: -lengths[row]):
        size, number = heapq.heappop(heap)
        packs[number].append(row)
        heapq.heappush(heap, (size + lengths[row], number))
    return packs


def _split(lengths: Sequence[int], packs: Sequence[Pack], count: int) -> list[Pack]:
    """As many packs as asked, the fullest ones with several rows halved."""
    found = [list(pack) for pack in packs]
    while len(found) < count:
        fullest = max((pack for pack in found if len(pack) > 1), key=lambda pack: _size(lengths, pack))
        found.remove(fullest)
        found += _even(lengths, fullest, 2)
    return found
