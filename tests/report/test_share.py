"""What the report says of the threshold: errors are those at the threshold in use, labels need no correction."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.classifier.card import measured
from components.classifier.evaluation import Judged
from components.questions.items import Item
from components.report.sections.share import corrected_sentence

OPTIONS = {"A": "One", "B": "Two"}


def split(count: int, reasoning: int, threshold: float, **more: Any) -> list[Item]:
    asked = [Item(f"q{n}", f"Question {n}?", OPTIONS, "A", "medqa", **more) for n in range(count)]
    return [
        item.with_(is_reasoning=n < reasoning, reasoning_threshold=threshold, reasoning_prob=float(n < reasoning))
        for n, item in enumerate(asked)
    ]


def card() -> dict[str, Any]:
    """At 0.83, its own threshold, right on 8 in 10 of either label; at 0.5 it calls all reasoning."""
    labels = np.arange(200) % 2
    prob = np.array([0.9 if (n % 2) ^ (n // 2 % 5 == 0) else 0.6 for n in range(200)])
    groups = [str(n) for n in range(200)]
    judged = {"encoder": Judged(prob, prob, prob, (prob >= 0.83).astype(int))}
    return measured(labels, groups, groups, judged, "encoder", np.ones(200), 0)


def said_of(items: list[Item], classifier: dict[str, Any]) -> str | None:
    said = corrected_sentence(items, classifier)
    return said and said.replace("\u00a0", " ")


def test_errors_are_those_at_the_threshold_that_cut_the_items() -> None:
    at_its_own = said_of(split(100, 50, 0.83), card())
    assert at_its_own and "sensitivity 80.0 %, specificity 80.0 %" in at_its_own and "50.0 %" in at_its_own
    elsewhere = said_of(split(100, 50, 0.75), card())
    assert elsewhere and "sensitivity 80.0 %" in elsewhere
    assert said_of(split(100, 50, 0.5), card()) is None, "there it is no better than chance"


def test_what_cannot_be_a_share_is_not_called_one() -> None:
    said = said_of(split(1000, 20, 0.83), card())
    assert said and "would be −30.0 %, which is not possible" in said


def test_labels_are_taken_as_they_are() -> None:
    labelled = split(100, 50, 0.83, question_type="Reasoning")
    others = [item.with_(id=f"o{n}", question=f"Other {n}?") for n, item in enumerate(split(100, 20, 0.83))]
    said = said_of(labelled + others, card())
    assert said and "with experts' labels taken as they are, the share is 50.0 %" in said
