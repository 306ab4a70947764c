"""Rewards: bounded, blind to what they must not see, and nothing for a reply that only looks right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.questions.prefills.named import named_option
from components.training.rewards import REWARDS, answer_format, correctness, rewards, self_correction

OPTIONS = {"A": "Iron deficiency", "B": "Vitamin B12 deficiency", "C": "Folate deficiency", "D": "Thalassaemia"}
OPENING = "I might be mistaken, yet my first instinct points to option C, Folate deficiency."

letters = st.sampled_from(sorted(OPTIONS))
words = st.text(max_size=200)


@given(words, letters, st.sampled_from(["", OPENING]))
def test_every_reward_is_bounded_for_any_text(text: str, right: str, opening: str) -> None:
    values = rewards(text, OPTIONS, right, opening)
    assert set(values) == set(REWARDS)
    assert values["correctness"] in (0.0, 1.0)
    assert values["format"] in (0.0, 0.5, 1.0)
    assert (values["self_correction"] is None) == (opening == "")
    assert values["self_correction"] in (None, -1.0, 0.0, 1.0)


@given(letters, letters)
def test_the_asked_for_line_earns_by_its_letter(said: str, right: str) -> None:
    text = f"It is about red cells.\nThe answer is {said}."
    assert correctness(text, OPTIONS, right) == float(said == right)
    assert answer_format(text, OPTIONS) == 1.0  # whatever is right


@given(letters, letters)
def test_one_of_two_declared_answers_is_no_format(first: str, last: str) -> None:
    text = f"The answer is {first}.\nThe answer is {last}."
    assert (answer_format(text, OPTIONS) == 1.0) == (first == last)


@given(letters, letters)
def test_correction_is_for_ending_right_and_costs_for_staying(said: str, right: str) -> None:
    expected = 1.0 if said == right else -1.0 if said == "C" else 0.0
    assert self_correction(f"Wait, no.\nThe answer is {said}.", OPTIONS, right, OPENING) == expected


@pytest.mark.parametrize("text", ["", "   \n", "I do not know.", "The answer is E.", "The answer is"])
def test_no_answer_earns_nothing(text: str) -> None:
    assert rewards(text, OPTIONS, "B", OPENING) == {"correctness": 0.0, "format": 0.0, "self_correction": 0.0}


def test_listing_every_letter_earns_no_correctness() -> None:
    text = "The answer is A. The answer is B. The answer is C. The answer is D."
    assert correctness(text, OPTIONS, "B") == 0.0


@pytest.mark.parametrize(
    ("opening", "letter"),
    [
        (OPENING, "C"),
        ("Maybe vitamin b12 deficiency?", "B"),
        ("It is hard to tell.", None),
        ("I would put my money on C, Thalassaemia minor, or rather Thalassaemia.", "D"),
    ],
)
def test_named_option_is_found_by_its_text(opening: str, letter: str | None) -> None:
    assert named_option(opening, OPTIONS) == letter


def test_the_longest_option_text_names_it() -> None:
    options = {"A": "Anaemia", "B": "Sickle cell anaemia"}
    assert named_option("Perhaps it is sickle cell anaemia.", options) == "B"
