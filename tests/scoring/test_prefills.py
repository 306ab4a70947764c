"""Under a wrong prefill a model corrects, keeps, falls silent or names nothing: four things, counted apart."""

from __future__ import annotations

import numpy as np
import pytest

from components.extraction import extract
from components.questions.prefills.named import named_option
from components.questions.prefills.templates import TEMPLATES
from components.scoring.intervals import accuracy_interval
from components.scoring.prefills import outcome_shares, prefill_outcome

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


@pytest.mark.parametrize("end", ["length", "content_filter", "too_long"])
def test_what_was_cut_off_or_withheld_is_no_silence_of_the_model(end: str) -> None:
    assert prefill_outcome("", None, "A", end) == "none"
    assert prefill_outcome("", None, "A", "stop") == prefill_outcome("", None, "A") == "silent"


def test_outcomes_are_shares_whose_unit_is_the_question() -> None:
    found = outcome_shares(["kept", "silent", "none", "kept"], np.array([0, 0, 1, 2]), right=0, unnamed=1)
    assert (found.n, found.unnamed) == (4, 1)
    counts = {name: (share.count, share.of, share.value) for name, share in found.shares.items()}
    assert counts == {"corrected": (0, 4, 0.0), "kept": (2, 4, 0.5), "silent": (1, 4, 0.25), "none": (1, 4, 0.25)}
    one = accuracy_interval(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0, 0, 1, 2]))
    assert one is not None and (found.shares["kept"].low, found.shares["kept"].high) == (one.low, one.high)
