"""Under a wrong prefill a model corrects, keeps, falls silent or names nothing: four things, counted apart."""

from __future__ import annotations

import pytest

from components.extraction import extract
from components.questions.prefills.named import named_option
from components.questions.prefills.templates import TEMPLATES
from components.scoring.prefills import count_outcomes, prefill_outcome

OPTIONS = {"A": "Aspirin", "B": "Low-dose heparin", "C": "Heparin", "D": "Warfarin"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_names_its_option(template: str) -> None:
    for letter, text in OPTIONS.items():
        assert named_option(template.format(L=letter, T=text), OPTIONS) == letter


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (" No, the answer is D.", "corrected"),
        ("\nThe answer is A.", "kept"),
        ("", "silent"),
        (" .\n", "silent"),
        (" This needs more thought.", "none"),
    ],
)
def test_what_became_of_a_prefill(output: str, expected: str) -> None:
    named = named_option("I believe it is A, Aspirin.", OPTIONS)
    assert prefill_outcome(output, extract(output, OPTIONS), named) == expected


def test_outcomes_are_counted_by_model() -> None:
    assert count_outcomes([("m", "kept"), ("m", "silent"), ("n", "none"), ("m", "kept")]) == [
        {"model": "m", "n": 3, "corrected": 0, "kept": 2, "silent": 1, "none": 0},
        {"model": "n", "n": 1, "corrected": 0, "kept": 0, "silent": 0, "none": 1},
    ]
