"""The parts of the combination: what is stored scores as what was fitted, and the question is never cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from components.classifier import encoder, features, learners, parts
from components.platform.models import local_model

rng = np.random.default_rng(0)
WORDS = ["pain", "fever", "drug", "vein", "which", "next", "step", "BP", "120/80", "mmHg", "he", "she", "history"]
TEXTS = [f"{' '.join(rng.choice(WORDS, rng.integers(4, 60)))}. Which {word}?" for word in rng.choice(WORDS, 150)]
LABELS = (np.array([text.count("pain") + text.count("step") for text in TEXTS]) + rng.normal(0, 1, 150) > 3).astype(int)
WEIGHTS = rng.uniform(0.5, 3, 150)


def vectors(texts: Any) -> np.ndarray:
    return np.array([[text.count(word) for word in WORDS] for text in texts], dtype=float)


def test_trees_kept_as_arrays_are_scikit_learns() -> None:
    part = parts.TreePart.fit(TEXTS, LABELS, WEIGHTS)
    seen = features.surface(TEXTS)
    theirs = GradientBoostingClassifier(
        n_estimators=part.TREES, learning_rate=part.RATE, max_depth=None, max_leaf_nodes=part.LEAVES,
        min_samples_leaf=7, random_state=0, init="zero",
    ).fit(seen, LABELS, WEIGHTS)  # fmt: skip
    assert part.scores(TEXTS) == pytest.approx(theirs.decision_function(seen), abs=1e-9)


def test_scaling_within_the_coefficients_is_scaling_before() -> None:
    part = parts.VectorPart.fit(vectors, TEXTS, LABELS, WEIGHTS)
    seen = vectors(TEXTS)
    scaled = (seen - seen.mean(0)) / seen.std(0)
    theirs = LogisticRegression(C=part.INVERSE_REGULARISATION).fit(scaled, LABELS, WEIGHTS)
    assert part.scores(TEXTS) == pytest.approx(theirs.decision_function(scaled), abs=1e-6)


def test_what_is_stored_scores_as_what_was_fitted() -> None:
    for kind in (parts.WORDS, parts.CHARACTERS, parts.LAST_SENTENCE):
        ngrams = parts.NgramPart.fit(kind, TEXTS, LABELS, WEIGHTS)
        again = parts.NgramPart.restore(kind, ngrams.arrays(), ngrams.names())
        assert again.scores(TEXTS).tolist() == ngrams.scores(TEXTS).tolist()
    trees = parts.TreePart.fit(TEXTS, LABELS, WEIGHTS)
    assert parts.TreePart.restore(trees.arrays()).scores(TEXTS).tolist() == trees.scores(TEXTS).tolist()


def test_a_tree_that_would_walk_in_circles_is_refused() -> None:
    arrays = {name: value.copy() for name, value in parts.TreePart.fit(TEXTS, LABELS, WEIGHTS).arrays().items()}
    arrays["left"][0, 1] = 0
    with pytest.raises(ValueError, match="before its parent"):
        parts.TreePart.restore(arrays)
    arrays["left"][0, 1] = 10_000
    with pytest.raises(ValueError, match="outside the tree"):
        parts.TreePart.restore(arrays)


def test_weights_take_length_away() -> None:
    """Labels that follow length alone: under the weights, mean length is the same for both."""
    lengths = rng.integers(5, 80, 3000)
    texts = ["word " * int(n) for n in lengths]
    labels = (rng.random(3000) < 1 / (1 + np.exp(-(np.log(lengths) - 3.3)))).astype(int)
    weights = learners.equal_length_weights(texts, labels)
    log = features.log_words(texts)[:, 0]
    raw, weighed = (
        abs(np.average(log[labels == 1], weights=w[labels == 1]) - np.average(log[labels == 0], weights=w[labels == 0]))
        for w in (np.ones(3000), weights)
    )
    assert raw > 0.3 and weighed < 0.03


def test_weights_do_not_hang_on_the_last_bits_of_a_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """C libraries differ there, and trees break ties between equally good splits by it."""
    texts = ["word " * int(n) for n in rng.integers(5, 80, 500)]
    labels = rng.integers(0, 2, 500)
    weights = learners.equal_length_weights(texts, labels)
    log_words = features.log_words(texts)
    monkeypatch.setattr(learners, "log_words", lambda _: log_words * (1 + 2e-16))
    assert np.array_equal(learners.equal_length_weights(texts, labels), weights)


@given(st.text(max_size=200))
def test_any_text_has_its_features(text: str) -> None:
    assert np.isfinite(features.surface([text])).all()
    assert features.last_sentence(text) in " ".join(text.split()) or features.last_sentence(text).strip() in text


def test_the_last_sentence_is_found() -> None:
    story = "A man of 60 has a BP of 3.5 kPa. He was seen by Dr. smith. Which drug is next?"
    assert features.last_sentence(story) == "Which drug is next?"
    assert features.split_last("Which drug?") == ("", "Which drug?")


def test_a_long_story_never_cuts_the_question_and_stays_in_its_length() -> None:
    loaded = encoder.load_frozen(local_model("package:minilm-l6-v2"))
    question = "Which vessel is tied first?"
    asked = loaded.tokenizer(question, add_special_tokens=False)["input_ids"]
    for before in ("", "He walks. ", "A man walks along a river and sees a bird. " * 40):
        ids, end = encoder._question_first(loaded.tokenizer, before + question, 32)
        assert ids[1 : end - 1] == asked and ids[0] == loaded.tokenizer.cls_token_id and len(ids) <= 32
    alone = encoder.embed(loaded, [question], 32, "float32")
    assert alone.shape == (1, 4 * 384)
    assert np.linalg.norm(alone.reshape(4, 384), axis=1) == pytest.approx(np.ones(4))
