"""No shortcut answers a question or labels it: not its letter, not the length of an option, not that of the stem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from components.questions.items import BENCHMARKS, Item


def letter_excess(items: Sequence[Item]) -> dict[str, float]:
    """Correct answers at each letter, less what evenly spread answers would give (options differ in number)."""
    excess: Counter[str] = Counter({letter: 0.0 for item in items for letter in item.options})  # type: ignore[misc]
    for item in items:
        excess[item.answer_idx] += 1
        for letter in item.options:
            excess[letter] -= 1 / len(item.options)  # type: ignore[assignment]
    return dict(excess)


def longest_option_gain(items: Sequence[Item]) -> float:
    """Accuracy of choosing the longest option (ties shared), less that of guessing."""
    gain = 0.0
    for item in items:
        longest = max(map(len, item.options.values()))
        longest_letters = [letter for letter, text in item.options.items() if len(text) == longest]
        gain += (item.answer_idx in longest_letters) / len(longest_letters) - 1 / len(item.options)
    return gain / len(items)


def length_auroc(items: Sequence[Item]) -> float:
    """Chance that a Reasoning stem is longer than an Understanding one (characters, ties half)."""
    lengths: dict[str | None, list[int]] = {"Reasoning": [], "Understanding": []}
    for item in items:
        lengths[item.question_type].append(len(item.question))
    pairs = [(r, u) for r in lengths["Reasoning"] for u in lengths["Understanding"]]
    return sum((r > u) + (r == u) / 2 for r, u in pairs) / len(pairs)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_letters_are_balanced(name: str, benchmarks: dict[str, list[Item]]) -> None:
    assert max(map(abs, letter_excess(benchmarks[name]).values())) <= 3


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_longest_option_is_no_hint(name: str, benchmarks: dict[str, list[Item]]) -> None:
    # In one benchmark a single question is worth 4.5 points: two of them more than the 8 points asked of the whole.
    assert abs(longest_option_gain(benchmarks[name])) <= 0.08 + 1 / len(benchmarks[name])


def test_the_longest_option_is_no_hint_in_the_whole_set(questions: list[Item], training: list[Item]) -> None:
    assert abs(longest_option_gain(questions)) <= 0.08
    assert abs(longest_option_gain(training)) <= 0.08


@pytest.mark.parametrize("name", BENCHMARKS)
def test_both_question_types_are_in_every_benchmark(name: str, benchmarks: dict[str, list[Item]]) -> None:
    types = Counter(item.question_type for item in benchmarks[name])
    assert min(types["Reasoning"], types["Understanding"]) >= 5


def test_about_a_third_is_reasoning(questions: list[Item]) -> None:
    share = sum(item.question_type == "Reasoning" for item in questions) / len(questions)
    assert 0.28 <= share <= 0.40


def test_length_alone_does_not_label(questions: list[Item], training: list[Item]) -> None:
    for items in (questions, training, [*questions, *training]):
        assert 0.30 <= length_auroc(items) <= 0.70


def test_a_few_stems_are_against_type(questions: list[Item]) -> None:
    """Long Understanding stems and short Reasoning ones exist, or length would be the label at the ends."""
    words = {
        kind: [len(i.question.split()) for i in questions if i.question_type == kind]
        for kind in ("Reasoning", "Understanding")
    }
    assert sum(n >= 60 for n in words["Understanding"]) >= 30
    assert sum(n <= 40 for n in words["Reasoning"]) >= 20


def test_the_measures_see_a_shortcut() -> None:
    """Ten items with the key at A, the longest option right and every Reasoning stem longer fail all three."""
    items = [
        Item(
            str(n),
            "x" * (20 if n % 2 else 5),
            {"A": "long text", "B": "one", "C": "two", "D": "six"},
            "A",
            "made",
            question_type="Reasoning" if n % 2 else "Understanding",
        )
        for n in range(10)
    ]
    assert letter_excess(items)["A"] == 7.5
    assert longest_option_gain(items) == 0.75
    assert length_auroc(items) == 1.0
