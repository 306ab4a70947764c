"""Which label means reasoning, and which end of a long question is read: the same for every classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.classifier import encoder
from components.errors import InputError
from components.platform.models import local_model

MINILM = "package:minilm-l6-v2"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: "Understanding", 1: "Reasoning"}, 1),
        ({0: "Reasoning", 1: "Understanding"}, 0),
        ({0: "non-reasoning", 1: "reasoning"}, 1),
        ({0: "Reasoning", 1: "Not reasoning"}, 0),
        ({0: "NON_REASONING", 1: "REASONING_HEAVY"}, 1),
        ({0: "reasoning-heavy", 1: "knowledge"}, 0),
        ({0: "nonreasoning", 1: "other"}, 1),
        ({0: "complex", 1: "Knowledge"}, 0),
        ({0: "knowledge vs reasoning", 1: "reasoning"}, 1),
        ({0: "LABEL_0", 1: "LABEL_1"}, 1),
        ({0: "0", 1: "1"}, 1),
    ],
)
def test_the_label_that_means_reasoning_is_found(names: dict[int, str], expected: int) -> None:
    assert encoder.reasoning_label(names) == expected


@pytest.mark.parametrize(
    "names",
    [
        {0: "easy reasoning", 1: "hard reasoning"},
        {0: "non-reasoning", 1: "not reasoning"},
        {0: "knowledge", 1: "recall"},
        {0: "entailment", 1: "neutral"},
    ],
)
def test_labels_that_do_not_tell_are_refused(names: dict[int, str]) -> None:
    with pytest.raises(InputError, match=r"id2label: .*name one of the two 'reasoning'"):
        encoder.reasoning_label(names)


def test_every_classifier_reads_the_end_of_a_long_question() -> None:
    """Fine-tuned, frozen and released ones go through `load`, and a vignette asks its question last."""
    loaded = encoder.load(local_model(MINILM))
    assert loaded.tokenizer.truncation_side == "left"
    story = "A man walks along a river and sees a bird. " * 40
    first, second = (encoder.embed(loaded, [story + end], 16, "float32") for end in ("Which drug?", "Which vessel?"))
    assert abs(first - second).max() > 1e-3, "two questions after one long story are two questions"


def test_training_names_the_labels_it_was_given(tmp_path: Path) -> None:
    """A checkpoint whose labels stand the other way round must not turn what is trained on it."""
    base = encoder.load(local_model(MINILM))
    base.model.config.id2label = {0: "Reasoning", 1: "Knowledge"}
    encoder.save(base, tmp_path)
    how = encoder.Training(1, 1e-3, 2, 16, 0.0, 0, "float32")
    trained, _ = encoder.train(tmp_path, ["one thing", "another"], [0, 1], how)
    assert trained.model.config.id2label == encoder.LABELS
