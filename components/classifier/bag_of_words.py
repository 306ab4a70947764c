"""The baseline that a classifier has to beat, and may be combined with: TF-IDF and logistic regression.

Kept as plain numbers (a vocabulary as JSON, weights as safetensors), never as a pickle: a checkpoint is data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import InputError

VOCABULARY = "tfidf.json"
WEIGHTS = "tfidf.safetensors"
# Words and pairs of words found in at least two questions; C = 3 was the best of 1, 3 and 10 on MedXpertQA's labels in
# five folds (AUROC 0.819, 0.822, 0.818), which favours this baseline a little.
NGRAMS = (1, 2)
MIN_DOCUMENTS = 2
INVERSE_REGULARISATION = 3.0


class BagOfWords:
    """TF-IDF over words and pairs of words, and a logistic regression on it."""

    def __init__(self, vectorizer: Any, coefficients: np.ndarray, intercept: float) -> None:
        self._vectorizer = vectorizer
        self._coefficients = coefficients
        self._intercept = intercept

    @classmethod
    def fit(cls, texts: Sequence[str], labels: np.ndarray) -> BagOfWords:
        from sklearn.linear_model import LogisticRegression

        # Too few texts for words to repeat: take every word.
        vectorizer = _vectorizer(min_df=MIN_DOCUMENTS if len(texts) >= 50 else 1)
        features = vectorizer.fit_transform(texts)
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000).fit(features, labels)
        return cls(vectorizer, model.coef_[0], float(model.intercept_[0]))

    def log_odds(self, texts: Sequence[str]) -> np.ndarray:
        """log(P / (1 − P)) of label 1 for each text, shape (n,)."""
        return np.asarray(self._vectorizer.transform(texts) @ self._coefficients + self._intercept)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        words = {word: int(index) for word, index in sorted(self._vectorizer.vocabulary_.items())}
        (folder / VOCABULARY).write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
        tensors = {"idf": self._vectorizer.idf_, "coefficients": self._coefficients, "intercept": [self._intercept]}
        save_file({name: np.asarray(value, dtype=np.float64) for name, value in tensors.items()}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> BagOfWords:
        """Raises InputError when a file is missing or the two do not fit together."""
        from safetensors.numpy import load_file

        try:
            words = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
            tensors = load_file(folder / WEIGHTS)
            vectorizer = _vectorizer(vocabulary=words)
            vectorizer.idf_ = tensors["idf"]
            coefficients, intercept = tensors["coefficients"], float(tensors["intercept"][0])
            if len(words) != len(coefficients):
                raise ValueError(f"{len(words)} words, {len(coefficients)} coefficients")
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: its bag-of-words half is damaged ({error}); run classify again") from None
        return cls(vectorizer, coefficients, intercept)


def _vectorizer(**more: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=NGRAMS, sublinear_tf=True, **more)
