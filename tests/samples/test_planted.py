"""Near-duplicates of benchmark questions that decontamination must find, and look-alikes that it must leave alone."""

from __future__ import annotations

import json

from components.questions.items import Item, normalise

Planted = dict[str, list[tuple[str, list[str]]]]
BY_WORDS = 0.47  # shared share of stem words: every planted copy lies above, every other training question below


def words(item: Item) -> list[str]:
    return normalise(item.question).split()


def shared_words(one: Item, other: Item) -> float:
    """Jaccard index of the sets of words of two stems."""
    a, b = set(words(one)), set(words(other))
    return len(a & b) / len(a | b)


def shared_run(one: Item, other: Item) -> int:
    """Words in the longest run that two stems have in common."""
    a, b = words(one), f" {' '.join(words(other))} "
    spans = ((i, j) for i in range(len(a)) for j in range(i + 1, len(a) + 1))
    return max((j - i for i, j in spans if f" {' '.join(a[i:j])} " in b), default=0)


def pairs(planted: Planted, kind: str, questions: list[Item], training: list[Item]) -> list[tuple[Item, Item]]:
    by_id = {item.id: item for item in (*questions, *training)}
    return [(by_id[train], by_id[benchmark]) for train, ids in planted[kind] for benchmark in ids]


def test_near_duplicates_are_reworded_and_shuffled(
    planted: Planted, questions: list[Item], training: list[Item]
) -> None:
    assert len(planted["near_duplicates"]) >= 8
    for copy, original in pairs(planted, "near_duplicates", questions, training):
        assert copy.answer == original.answer, copy.id
        assert set(copy.options.values()) <= set(original.options.values()), copy.id
        assert list(copy.options.values()) != list(original.options.values()), copy.id
        assert normalise(copy.question) != normalise(original.question), copy.id
        assert copy.question_type == original.question_type, copy.id


def test_decoys_share_phrases_but_ask_something_else(
    planted: Planted, questions: list[Item], training: list[Item]
) -> None:
    assert len(planted["decoys"]) >= 8
    for decoy, original in pairs(planted, "decoys", questions, training):
        assert shared_run(decoy, original) >= 6, decoy.id
        assert decoy.answer not in original.options.values(), decoy.id
        assert len(set(decoy.options.values()) & set(original.options.values())) <= 1, decoy.id


def test_nothing_else_in_training_resembles_a_benchmark(
    planted: Planted, questions: list[Item], training: list[Item]
) -> None:
    """What decontamination finds beyond the list would be its own mistake."""
    copies = {train for train, _ in planted["near_duplicates"]}
    for item in training:
        closest = max(shared_words(item, question) for question in questions)
        assert (closest > BY_WORDS) == (item.id in copies), (item.id, closest)


def test_the_set_does_not_tell_what_is_planted(planted: Planted, training: list[Item]) -> None:
    named = {benchmark for rows in planted.values() for _, ids in rows for benchmark in ids}
    for item in training:
        assert set(item.meta) == {"source_note"}, item.id
        assert not any(benchmark in json.dumps(item.meta) for benchmark in named), item.id
