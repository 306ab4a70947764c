"""The parts of the combination: what is learnt from n-grams, from a frozen encoder's vectors and from surface marks.

Each part is fitted on weighted rows and gives a score that grows with P(reasoning). All of them are kept as plain
numbers (names as JSON, arrays as safetensors), never as a pickle: a checkpoint is data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from components.classifier.features import last_sentence, surface

Embed = Callable[[Sequence[str]], np.ndarray]
Arrays = dict[str, np.ndarray]
# Below so few texts no n-gram need be in several of them: too few repeat.
FEW_TEXTS = 50


class Part(Protocol):
    """A fitted part: scores texts, and is stored as arrays and a list of names."""

    def scores(self, texts: Sequence[str]) -> np.ndarray: ...

    def arrays(self) -> Arrays: ...

    def names(self) -> list[str]: ...


@dataclass(frozen=True)
class Ngrams:
    """How texts become n-grams: words or characters, of the whole stem or of its last sentence, and how weighed."""

    analyzer: str
    lengths: tuple[int, int]
    min_texts: int
    inverse_regularisation: float
    last_only: bool = False

    def of(self, texts: Sequence[str]) -> list[str]:
        return [last_sentence(text) for text in texts] if self.last_only else list(texts)

    def vectorizer(self, **more: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(analyzer=self.analyzer, ngram_range=self.lengths, sublinear_tf=True, **more)


# C = 3 was the best of 1, 3 and 10 for WORDS on MedXpertQA's labels in five folds (AUROC 0.819, 0.822, 0.818), which
# favours this baseline a little. Words as a part add nothing to characters (measured), so they stay the baseline.
WORDS = Ngrams("word", (1, 2), 2, 3.0)
CHARACTERS = Ngrams("char_wb", (3, 5), 5, 3.0)
LAST_SENTENCE = Ngrams("word", (1, 3), 2, 1.0, last_only=True)


class NgramPart:
    """TF-IDF and logistic regression."""

    def __init__(self, kind: Ngrams, vectorizer: Any, coefficients: np.ndarray, intercept: float) -> None:
        self._kind, self._vectorizer = kind, vectorizer
        self._coefficients, self._intercept = coefficients, intercept

    @classmethod
    def fit(cls, kind: Ngrams, texts: Sequence[str], labels: np.ndarray, weights: np.ndarray | None) -> NgramPart:
        from sklearn.linear_model import LogisticRegression

        vectorizer = kind.vectorizer(min_df=kind.min_texts if len(texts) >= FEW_TEXTS else 1)
        features = vectorizer.fit_transform(kind.of(texts))
        model = LogisticRegression(C=kind.inverse_regularisation, max_iter=1000).fit(features, labels, weights)
        return cls(kind, vectorizer, model.coef_[0], float(model.intercept_[0]))

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of label 1, shape (n,)."""
        return np.asarray(self._vectorizer.transform(self._kind.of(texts)) @ self._coefficients + self._intercept)

    def arrays(self) -> Arrays:
        return {
            "idf": self._vectorizer.idf_,
            "coefficients": self._coefficients,
            "intercept": np.array([self._intercept]),
        }

    def names(self) -> list[str]:
        vocabulary = self._vectorizer.vocabulary_
        return sorted(vocabulary, key=vocabulary.__getitem__)

    @classmethod
    def restore(cls, kind: Ngrams, arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> NgramPart:
        """Raises ValueError where names and arrays do not fit together, KeyError where an array is missing."""
        if not len(names) == len(arrays["idf"]) == len(arrays["coefficients"]):
            raise ValueError(f"{len(names)} n-grams, {len(arrays['coefficients'])} coefficients")
        vectorizer = kind.vectorizer(vocabulary={name: place for place, name in enumerate(names)})
        vectorizer.idf_ = arrays["idf"]
        return cls(kind, vectorizer, arrays["coefficients"], float(arrays["intercept"][0]))


class VectorPart:
    """Logistic regression on an encoder's vectors, each column at mean 0 and spread 1 among the training rows."""

    # On 1,536 columns. In five folds 1e-4 to 1e-3 are alike; MedQA's exam step likes less (AUROC of the combination
    # 0.819 with 3e-4, 0.823 with 2e-4).
    INVERSE_REGULARISATION = 2e-4

    def __init__(self, embed: Embed, coefficients: np.ndarray, intercept: float) -> None:
        self._embed, self._coefficients, self._intercept = embed, coefficients, intercept

    @classmethod
    def fit(cls, embed: Embed, texts: Sequence[str], labels: np.ndarray, weights: np.ndarray | None) -> VectorPart:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        vectors = embed(texts)
        scaler = StandardScaler().fit(vectors)
        model = LogisticRegression(C=cls.INVERSE_REGULARISATION, max_iter=1000)
        model.fit(scaler.transform(vectors), labels, weights)
        # The scaling goes into the coefficients: one product is left to store and to apply.
        coefficients = model.coef_[0] / scaler.scale_
        return cls(embed, coefficients, float(model.intercept_[0] - scaler.mean_ @ coefficients))

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of label 1, shape (n,)."""
        return np.asarray(self._embed(texts) @ self._coefficients + self._intercept)

    def arrays(self) -> Arrays:
        return {"coefficients": self._coefficients, "intercept": np.array([self._intercept])}

    def names(self) -> list[str]:
        return []

    @classmethod
    def restore(cls, embed: Embed, arrays: Mapping[str, np.ndarray]) -> VectorPart:
        return cls(embed, arrays["coefficients"], float(arrays["intercept"][0]))


class TreePart:
    """A small boosted forest on the surface features, kept as one row of nodes per tree.

    GradientBoostingClassifier and not its histogram sibling: that one's nodes are private, these are public arrays.
    """

    TREES, LEAVES, LEAST_LEAF, RATE = 100, 8, 20, 0.05
    _COLUMNS = ("feature", "threshold", "left", "right", "value")

    def __init__(self, nodes: Mapping[str, np.ndarray]) -> None:
        self._nodes = nodes

    @classmethod
    def fit(cls, texts: Sequence[str], labels: np.ndarray, weights: np.ndarray | None) -> TreePart:
        from sklearn.ensemble import GradientBoostingClassifier

        model = GradientBoostingClassifier(
            n_estimators=cls.TREES,
            learning_rate=cls.RATE,
            max_depth=None,
            max_leaf_nodes=cls.LEAVES,
            # A leaf of twenty is a twelfth of the demo's labels: of few rows ask less.
            min_samples_leaf=min(cls.LEAST_LEAF, max(1, len(texts) // 20)),
            random_state=0,
            init="zero",  # what every row gets alike is left to the calibration
        ).fit(surface(texts), labels, weights)
        trees = [estimator.tree_ for (estimator,) in model.estimators_]
        width = max(tree.node_count for tree in trees)

        def rows(column: Callable[[Any], np.ndarray]) -> np.ndarray:
            return np.array([np.pad(column(tree), (0, width - tree.node_count), constant_values=-1) for tree in trees])

        return cls(
            {
                "feature": rows(lambda tree: tree.feature).astype(np.int64),
                "threshold": rows(lambda tree: tree.threshold).astype(np.float64),
                "left": rows(lambda tree: tree.children_left).astype(np.int64),
                "right": rows(lambda tree: tree.children_right).astype(np.int64),
                "value": rows(lambda tree: tree.value[:, 0, 0]) * cls.RATE,
            }
        )

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of label 1 up to a constant, shape (n,)."""
        seen = surface(texts)
        feature, threshold, left, right, value = (self._nodes[name] for name in self._COLUMNS)
        trees, rows = np.arange(len(feature))[None, :], np.arange(len(seen))[:, None]
        at = np.zeros((len(seen), len(feature)), dtype=np.int64)
        while True:
            inner = left[trees, at] >= 0  # a leaf has no children: -1
            if not inner.any():
                return np.asarray(value[trees, at].sum(axis=1))
            goes_left = seen[rows, np.maximum(feature[trees, at], 0)] <= threshold[trees, at]
            at = np.where(inner, np.where(goes_left, left[trees, at], right[trees, at]), at)

    def arrays(self) -> Arrays:
        return dict(self._nodes)

    def names(self) -> list[str]:
        return []

    @classmethod
    def restore(cls, arrays: Mapping[str, np.ndarray]) -> TreePart:
        """Raises ValueError for nodes that do not fit together, KeyError where a column is missing."""
        nodes = {name: arrays[name] for name in cls._COLUMNS}
        shapes = {nodes[name].shape for name in cls._COLUMNS}
        if len(shapes) != 1:
            raise ValueError(f"tree columns have {len(shapes)} shapes")
        children = np.stack([nodes["left"], nodes["right"]])
        own = np.arange(children.shape[2])
        # A child stands after its parent, so that walking down ends.
        if ((children >= 0) & (children <= own)).any() or (children >= len(own)).any():
            raise ValueError("a tree's child stands before its parent or outside the tree")
        return cls(nodes)
