"""The combination uses no labels of its own: what a fold's labels are cannot reach that fold's scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from components.classifier import learners
from components.classifier.evaluation import make_folds
from components.classifier.metrics import auroc

WORDS = [f"{letter}{n}" for letter in "abcdef" for n in range(10)]


def letters(texts: Sequence[str]) -> np.ndarray:
    """Stands in for the encoder: a few features, so that models of two folds lean the same way or the other."""
    return np.array([[text.count(letter) for letter in "abcdef"] for text in texts], dtype=float)


NAMED = {"question_length": learners.question_length, "frozen_encoder": learners.frozen_encoder(letters)}
PARTS = learners.part_fitters(letters)
QUICK = {name: PARTS[name] for name in ("last_sentence", "vectors")}


def noise(seed: int, n: int = 240) -> tuple[list[str], np.ndarray, list[str]]:
    """Texts, labels that have nothing to do with them, and a group for each."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(5, 40))) for _ in range(n)]
    return texts, rng.permutation(np.arange(n) % 2), [f"g{n}" for n in range(n)]


@pytest.mark.parametrize(("folds", "parts"), [(2, PARTS), (5, QUICK)])
def test_a_folds_labels_do_not_reach_its_scores(folds: int, parts: dict[str, learners.FitPart]) -> None:
    """Fold 0's labels are turned round: its own scores, the combination's too, must not move by a bit."""
    texts, labels, groups = noise(0)
    fold = make_folds(groups, labels, folds, 0)
    turned = np.where(fold == 0, 1 - labels, labels)
    before, after = (learners.out_of_fold(NAMED, parts, texts, known, groups, fold) for known in (labels, turned))
    assert set(before) == {*NAMED, *(f"part_{name}" for name in parts), "combination"}
    for name in before:
        assert (before[name][fold == 0] == after[name][fold == 0]).all(), name
        assert (before[name][fold == 1] != after[name][fold == 1]).any(), name


def test_labels_that_are_noise_are_not_learnt() -> None:
    found = []
    for seed in range(30):
        texts, labels, groups = noise(seed)
        odds = learners.out_of_fold({}, QUICK, texts, labels, groups, make_folds(groups, labels, 2, seed))
        found.append(auroc(labels, odds["combination"]))
    assert np.mean(found) == pytest.approx(0.5, abs=0.03), found
