"""Classifiers that can draw the line, from counting words to a fine-tuned encoder, behind one protocol.

Each is fitted on texts with labels (0, 1) and gives log-odds of label 1, so that all are calibrated, cut and compared
alike. What the combination is made of lives in `parts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from components.classifier.evaluation import each_fold, make_folds, refuse_leak
from components.classifier.features import log_words
from components.classifier.parts import (
    CHARACTERS,
    LAST_SENTENCE,
    WORDS,
    Embed,
    NgramPart,
    Part,
    TreePart,
    VectorPart,
)
from components.errors import InputError

Scorer = Callable[[Sequence[str]], np.ndarray]
Learner = Callable[[Sequence[str], np.ndarray], Scorer]


class Scores(Protocol):
    def scores(self, texts: Sequence[str]) -> np.ndarray: ...


FitPart = Callable[[Sequence[str], np.ndarray, np.ndarray], Scores]

# How much each part counts in the mean, 1 where nothing is said; chosen by hand, nothing here is fitted. The vectors
# carry over to other question sets best (MedQA's exam step); surface features help there and cost a little here.
VOTES = {"vectors": 2.0, "surface": 0.5}
# Length is worth this much of what it is worth on the labelled questions. The whole of it gains nothing there (0.0003
# AUROC) and costs 0.007 among questions of equal length; that long means reasoning elsewhere nobody has shown.
LENGTH_SHARE = 0.9
INNER_FOLDS = 3
# A short reasoning question or a long knowledge question counts at most this often: a few of them must not be all.
MOST_WEIGHT = 8.0
FILE, ARRAYS = "combination.json", "combination.safetensors"
_SURE = 1e-6  # probabilities are kept this far from 0 and 1, whose log-odds are infinite


def log_odds_of(prob: np.ndarray) -> np.ndarray:
    clipped = np.clip(prob, _SURE, 1 - _SURE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def question_length(texts: Sequence[str], labels: np.ndarray) -> Scorer:
    """Logistic regression on the logarithm of the number of words."""
    model = _logistic(log_words(texts), labels)
    return lambda asked: np.asarray(model.decision_function(log_words(asked)))


def tfidf(texts: Sequence[str], labels: np.ndarray) -> Scorer:
    """What a bag of words gives: the baseline that a classifier has to beat."""
    return NgramPart.fit(WORDS, texts, labels, None).scores


def frozen_encoder(embed: Embed) -> Learner:
    """Logistic regression on the untrained encoder's vectors."""

    def fit(texts: Sequence[str], labels: np.ndarray) -> Scorer:
        return VectorPart.fit(embed, texts, labels, None).scores

    return fit


def fine_tuned(folder: Path, how: Any, label: str = "classifier: training steps") -> Learner:
    """The encoder with all its weights trained; `how` is an encoder.Training."""
    from components.classifier.encoder import score, train
    from components.platform.progress import progress

    def fit(texts: Sequence[str], labels: np.ndarray) -> Scorer:
        model, _ = train(folder, texts, labels.tolist(), how, lambda steps: progress(steps, label))
        return lambda asked: log_odds_of(score(model, asked, how.max_length, how.dtype))

    return fit


def remembered(embed: Embed) -> Embed:
    """`embed` with a memory: a text is read once however many folds ask for it."""
    known: dict[str, np.ndarray] = {}

    def recall(texts: Sequence[str]) -> np.ndarray:
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, embed(new), strict=True))
        return np.array([known[text] for text in texts])

    return recall


def part_fitters(embed: Embed) -> dict[str, FitPart]:
    """The parts of the shipped combination, by the names that their files and the table use."""
    return {
        "surface": TreePart.fit,
        "characters": partial(NgramPart.fit, CHARACTERS),
        "last_sentence": partial(NgramPart.fit, LAST_SENTENCE),
        "vectors": partial(VectorPart.fit, embed),
    }


@dataclass(frozen=True)
class Combination:
    """Length, and parts that were fitted where length says nothing: log-odds = intercept + length + the parts' sum."""

    parts: Mapping[str, Scores]
    coefficients: Mapping[str, float]
    length: float  # on log(1 + words)
    intercept: float

    @classmethod
    def fit(
        cls,
        fitters: Mapping[str, FitPart],
        texts: Sequence[str],
        labels: np.ndarray,
        groups: Sequence[str],
        seed: int,
        length_slope: float | None = None,
    ) -> Combination:
        """Fit every part on all rows; what each is worth comes from inner folds, by group, of these rows alone.

        A part is fitted with weights under which both labels are equally frequent at every length, so that it learns
        what tells them apart among questions of one length. Its inner out-of-fold scores beside length give its slope
        (no less than 0); the parts' calibrated scores are averaged, and a last regression on length and that average
        gives the scale. Every fit is of one to three numbers, and none sees a row outside `texts`. A `length_slope`
        that is given stands in for the fitted one, for labels that cannot tell what length is worth.
        """
        words = log_words(texts)
        inner = _inner_scores(fitters, texts, labels, groups, seed)
        slopes = {name: max(0.0, _logistic(np.c_[words, found], labels).coef_[0, 1]) for name, found in inner.items()}
        votes = {name: VOTES.get(name, 1.0) for name in fitters}
        shares = {name: votes[name] * slopes[name] / sum(votes.values()) for name in fitters}
        content = sum((shares[name] * inner[name] for name in fitters), np.zeros(len(labels)))
        model = _logistic(np.c_[words, content], labels)
        fitted, scale = (max(0.0, float(value)) for value in model.coef_[0])
        length = LENGTH_SHARE * fitted if length_slope is None else length_slope
        intercept = float(model.intercept_[0]) + (fitted - length) * float(words.mean())
        weights = equal_length_weights(texts, labels)
        parts = {name: fit(texts, labels, weights) for name, fit in fitters.items()}
        return cls(parts, {name: float(scale * share) for name, share in shares.items()}, length, intercept)

    def log_odds(self, texts: Sequence[str]) -> np.ndarray:
        """log(P / (1 − P)) of label 1 for each text, shape (n,)."""
        return self.pooled({name: part.scores(texts) for name, part in self.parts.items()}, texts)

    def pooled(self, scores: Mapping[str, np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """log_odds from scores of the parts that are known already."""
        own = self.intercept + self.length * log_words(texts)[:, 0]
        return sum((self.coefficients[name] * found for name, found in scores.items()), own)

    def save(self, folder: Path, **more: Any) -> None:
        """combination.json (numbers, n-grams, and `more`) and combination.safetensors (the parts' arrays)."""
        from safetensors.numpy import save_file

        parts: dict[str, Part] = dict(self.parts)  # type: ignore[arg-type]
        record = {
            "coefficients": dict(self.coefficients),
            "length": self.length,
            "intercept": self.intercept,
            "names": {name: part.names() for name, part in parts.items()},
            **more,
        }
        (folder / FILE).write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        arrays = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.arrays().items()}
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / ARRAYS)

    @classmethod
    def load(cls, folder: Path, embed: Embed) -> Combination:
        """Raises InputError when a file is missing or the two do not fit together."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            record = json.loads((folder / FILE).read_text(encoding="utf-8"))
            arrays = load_file(folder / ARRAYS)
            own = {
                name: {key.split(".", 1)[1]: value for key, value in arrays.items() if key.startswith(f"{name}.")}
                for name in record["names"]
            }
            words = record["names"]
            parts: dict[str, Scores] = {
                "surface": TreePart.restore(own["surface"]),
                "characters": NgramPart.restore(CHARACTERS, own["characters"], words["characters"]),
                "last_sentence": NgramPart.restore(LAST_SENTENCE, own["last_sentence"], words["last_sentence"]),
                "vectors": VectorPart.restore(embed, own["vectors"]),
            }
            coefficients = {name: float(record["coefficients"][name]) for name in parts}
            return cls(parts, coefficients, float(record["length"]), float(record["intercept"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise InputError(f"{folder}: its combination is damaged ({error!r}); run classify again") from None


def equal_length_weights(texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Weights, shape (n,), under which length in words says nothing about the label: 1 / (2 P(its label | length)).

    Rounded to thousandths: their last bits come from the C library's log and exp, which differ between versions, and a
    tree breaks ties between equally good splits by such bits. One run in three then had other trees in a container.
    """
    words = log_words(texts)
    reasoning = _logistic(words, labels).predict_proba(words)[:, 1]
    own = np.where(labels == 1, reasoning, 1 - reasoning)
    return np.asarray(np.round(np.minimum(0.5 / own, MOST_WEIGHT), 3))


def cross_fit(groups: Sequence[str], fold: np.ndarray, fit: Callable[[np.ndarray], Callable[[np.ndarray], Any]]) -> Any:
    """{name: scores of every row, shape (n,)} by what was fitted on the other folds; refuses folds that split a group.

    `fit(training rows)` returns what scores other rows, as {name: scores}.
    """
    refuse_leak(groups, fold)
    found: dict[str, np.ndarray] = {}
    for training, scored in each_fold(fold):
        for name, scores in fit(training)(scored).items():
            found.setdefault(name, np.full(len(groups), np.nan))[scored] = scores
    assert not any(np.isnan(scores).any() for scores in found.values()), "a row was left without a score"
    return found


def out_of_fold(
    named: Mapping[str, Learner],
    fitters: Mapping[str, FitPart],
    texts: Sequence[str],
    labels: np.ndarray,
    groups: Sequence[str],
    fold: np.ndarray,
    seed: int = 0,
    length_slope: float | None = None,
) -> dict[str, np.ndarray]:
    """Log-odds of every row, fitted on the other folds: of each learner, of each part alone, and of the combination.

    A fold's labels reach none of its own log-odds.
    """

    def pick(rows: np.ndarray) -> list[str]:
        return [texts[i] for i in rows]

    def fit(training: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        known, own = pick(training), labels[training]
        scorers = {name: learner(known, own) for name, learner in named.items()}
        combined = Combination.fit(fitters, known, own, [groups[i] for i in training], seed, length_slope)

        def score(rows: np.ndarray) -> dict[str, np.ndarray]:
            found = {name: scorer(pick(rows)) for name, scorer in scorers.items()}
            parts = {name: part.scores(pick(rows)) for name, part in combined.parts.items()}
            alone = {f"part_{name}": scores for name, scores in parts.items()}
            return {**found, **alone, "combination": combined.pooled(parts, pick(rows))}

        return score

    result: dict[str, np.ndarray] = cross_fit(groups, fold, fit)
    return result


def _inner_scores(
    fitters: Mapping[str, FitPart], texts: Sequence[str], labels: np.ndarray, groups: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    """Each part's score of every row by one that was fitted on the other inner folds."""

    def fit(training: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        known, own = [texts[i] for i in training], labels[training]
        weights = equal_length_weights(known, own)
        parts = {name: fitter(known, own, weights) for name, fitter in fitters.items()}
        return lambda rows: {name: part.scores([texts[i] for i in rows]) for name, part in parts.items()}

    found: dict[str, np.ndarray] = cross_fit(groups, make_folds(groups, labels, INNER_FOLDS, seed), fit)
    return found


def _logistic(features: np.ndarray, labels: np.ndarray) -> Any:
    """Logistic regression on a column or two; a penalty too small to matter keeps separable labels from infinity."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1e3, max_iter=1000).fit(features, labels)
