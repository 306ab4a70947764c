"""Classifiers that can draw the line, from counting words to a fine-tuned encoder, behind one protocol.

Each is fitted on texts with labels (0, 1) and gives log-odds of label 1, so that all are calibrated, cut and compared
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from components.classifier.bag_of_words import BagOfWords
from components.classifier.crossfit import cross_fit
from components.classifier.encoder import Training, embed, load, score, train
from components.platform.progress import progress

Scorer = Callable[[Sequence[str]], np.ndarray]
Learner = Callable[[Sequence[str], np.ndarray], Scorer]
COMBINED = ("encoder", "tfidf")

_SURE = 1e-6  # probabilities are kept this far from 0 and 1, whose log-odds are infinite


def log_odds_of(prob: np.ndarray) -> np.ndarray:
    clipped = np.clip(prob, _SURE, 1 - _SURE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def question_length(texts: Sequence[str], labels: np.ndarray) -> Scorer:
    """Logistic regression on the logarithm of the number of words."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(_log_words(texts), labels)
    return lambda asked: np.asarray(model.decision_function(_log_words(asked)))


def tfidf(texts: Sequence[str], labels: np.ndarray) -> Scorer:
    """What a bag of words gives."""
    return BagOfWords.fit(texts, labels).log_odds


def frozen_encoder(folder: Path, every_text: Sequence[str], max_length: int, dtype: str) -> Learner:
    """Logistic regression on the untrained encoder's mean-pooled embeddings; `every_text` is embedded once, here."""
    from sklearn.linear_model import LogisticRegression

    known = list(dict.fromkeys(every_text))
    vectors = embed(load(folder), known, max_length, dtype)
    place = {text: row for row, text in enumerate(known)}

    def fit(texts: Sequence[str], labels: np.ndarray) -> Scorer:
        # C = 10: embeddings of length 1 are small numbers, on which the usual C = 1 underfits.
        model = LogisticRegression(C=10.0, max_iter=1000).fit(vectors[[place[t] for t in texts]], labels)
        return lambda asked: np.asarray(model.decision_function(vectors[[place[t] for t in asked]]))

    return fit


def fine_tuned(folder: Path, how: Training, label: str = "classifier: training steps") -> Learner:
    """The encoder with all its weights trained."""

    def fit(texts: Sequence[str], labels: np.ndarray) -> Scorer:
        model, _ = train(folder, texts, labels.tolist(), how, lambda steps: progress(steps, label))
        return lambda asked: log_odds_of(score(model, asked, how.max_length, how.dtype))

    return fit


def pooled(*log_odds: np.ndarray) -> np.ndarray:
    """The combination of classifiers: the mean of their log-odds, each of shape (n,).

    A logarithmic opinion pool with equal weights (Genest and Zidek, "Combining probability distributions: a critique
    and an annotated bibliography", Statistical Science, 1986). Nothing in it is fitted: weights fitted for a fold would
    come from the other folds' scores, which models gave that had seen this fold's labels.
    """
    return np.asarray(np.mean(log_odds, axis=0))


def out_of_fold(
    named: Mapping[str, Learner], texts: Sequence[str], labels: np.ndarray, groups: Sequence[str], fold: np.ndarray
) -> dict[str, np.ndarray]:
    """Each learner's log-odds of every row, fitted on the other folds, and those of the combination they make.

    A fold's labels reach none of its own log-odds. `named` holds the parts of the combination, COMBINED.
    """

    def scores(learner: Learner) -> np.ndarray:
        def fit_score(training: np.ndarray, scored: np.ndarray) -> np.ndarray:
            return learner([texts[i] for i in training], labels[training])([texts[i] for i in scored])

        return cross_fit(groups, fold, fit_score)

    odds = {name: scores(learner) for name, learner in named.items()}
    return {**odds, "combination": pooled(*(odds[name] for name in COMBINED))}


def _log_words(texts: Sequence[str]) -> np.ndarray:
    return np.log1p([[len(text.split())] for text in texts])
