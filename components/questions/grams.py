"""The word n-grams of many texts as numbers, so that 200,000 items are compared by arrays and not one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.questions.items import Item, normalise

Array = np.ndarray[Any, Any]
# Odd 64-bit constants of a polynomial over word numbers: two of 10^8 different n-grams collide once in 4,000 sets.
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Sets:
    """A set of n-grams for each of N items: `grams[k]` is one of item `owner[k]`, in the order of items, each once."""

    owner: Array
    grams: Array
    count: int


class Vocabulary:
    """Numbers words in the order in which they are first seen; items that are compared share one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def encode(self, texts: Iterable[str]) -> tuple[Array, Array]:
        """The words of all texts as numbers, one after another, and how many words each text has."""
        numbers = self._numbers
        words: list[int] = []
        lengths: list[int] = []
        for text in texts:
            found = [numbers.setdefault(word, len(numbers)) for word in normalise(text).split()]
            words += found
            lengths.append(len(found))
        return np.array(words, dtype=np.uint64), np.array(lengths, dtype=np.int64)


def stems_and_options(items: Sequence[Item], n: int, vocabulary: Vocabulary) -> tuple[Sets, Sets]:
    """The n-grams of each item's stem (question and context), and of its options, each option on its own."""
    stems = [[item.question, *([item.context] if item.context else [])] for item in items]
    options = [list(item.options.values()) for item in items]
    return _sets(stems, n, vocabulary), _sets(options, n, vocabulary)


def _sets(texts: Sequence[Sequence[str]], n: int, vocabulary: Vocabulary) -> Sets:
    words, lengths = vocabulary.encode(text for several in texts for text in several)
    owner_of_text = np.repeat(np.arange(len(texts)), [len(several) for several in texts])
    grams, text = ngram_numbers(words, lengths, n)
    return unique(owner_of_text[text], grams, len(texts))


def unique(owner: Array, grams: Array, count: int) -> Sets:
    """Each gram of an item once, in the order of items."""
    order = np.lexsort((grams, owner))
    owner, grams = owner[order], grams[order]
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (owner[1:] != owner[:-1]) | (grams[1:] != grams[:-1])
    return Sets(owner[new], grams[new], count)


def ngram_numbers(words: Array, lengths: Array, n: int) -> tuple[Array, Array]:
    """The n-grams of texts laid end to end, as numbers, and the text that each is of; a shorter text is one n-gram."""
    text = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.cumsum(lengths)[text]
    starts = np.flatnonzero(np.diff(text, prepend=-1))
    grams, owners = [], []
    rows = np.arange(len(words))
    for size in range(1, n + 1):
        # Of texts shorter than n only their first word begins an n-gram, of all their words.
        begins = rows[ends - rows >= n] if size == n else starts[lengths[text[starts]] == size]
        value = np.full(len(begins), size, dtype=np.uint64)
        for offset in range(size):
            value = (value * _FACTOR + words[begins + offset] + np.uint64(1)) * _MIX
            value ^= value >> np.uint64(29)
        grams.append(value)
        owners.append(text[begins])
    return np.concatenate(grams), np.concatenate(owners)
