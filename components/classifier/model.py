"""A trained reasoning classifier as stratify and curate use it: a folder of weights and its classifier.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.classifier.card import SCHEMA_VERSION
from components.classifier.metrics import probabilities, stem, stem_id
from components.errors import InputError
from components.questions.items import Item, group_of

CARD = "classifier.json"


@dataclass(frozen=True)
class ReasoningClassifier:
    """A classifier's folder and what its card says.

    `by_stem` and `by_group` hold, for every question it was trained on, the mean probability that models gave which had
    seen neither its question group nor its stem. The defaults stand for a checkpoint without a card of ours, such as
    the paper's released classifier: nobody here knows what that was trained on.
    """

    folder: Path
    threshold: float = 0.5
    max_length: int = 512
    slope: float = 1.0
    intercept: float = 0.0
    learner: str = "released"
    trained_on: str = "unknown"
    by_stem: Mapping[str, float] = field(default_factory=dict)
    by_group: Mapping[str, float] = field(default_factory=dict)
    labelled: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def open(cls, folder: Path) -> ReasoningClassifier:
        """Read the card, not the weights; raises InputError for a damaged card or one of another schema."""
        path = folder / CARD
        if not path.is_file():
            return cls(folder)
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            version = card["schema_version"]
            if version == SCHEMA_VERSION:
                return cls._from_card(folder, card)
            newer = version > SCHEMA_VERSION
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a classifier card ({error!r}); run classify again") from None
        if newer:
            raise InputError(f"{path}: schema_version: {version} is newer than {SCHEMA_VERSION}; upgrade biomed-r1")
        raise InputError(
            f"{path}: schema_version: {version} is older than {SCHEMA_VERSION}: its probabilities were not "
            "centred and its combination had other parts; run classify again"
        )

    @classmethod
    def _from_card(cls, folder: Path, card: Mapping[str, Any]) -> ReasoningClassifier:
        rows = card["labelled"]
        unseen = rows if card["out_of_fold"] else ()
        return cls(
            folder,
            float(card["threshold"]),
            int(card["max_length"]),
            float(card["slope"]),
            float(card["intercept"]),
            str(card["learner"]),
            str(card.get("trained_on", "unknown")),
            _means(unseen, "stem_id"),
            _means(unseen, "question_group"),
            rows,
        )

    def score(
        self, rows: Sequence[Item], max_length: int | None = None, dtype: str = "auto"
    ) -> tuple[np.ndarray, list[bool]]:
        """P(reasoning) of each item's stem, and whether it is an out-of-fold one; equal stems are scored once.

        A question whose label the classifier was trained on, known by its stem or else by its question group, gets the
        probability that models gave which had not seen it: no score is in-sample.
        """
        known = [self.by_stem.get(stem_id(item), self.by_group.get(group_of(item))) for item in rows]
        stems = [stem(item) for item in rows]
        unknown = list(dict.fromkeys(text for text, prob in zip(stems, known, strict=True) if prob is None))
        fresh = dict(zip(unknown, self.score_stems(unknown, max_length, dtype).tolist(), strict=True))
        prob = [fresh[text] if found is None else found for text, found in zip(stems, known, strict=True)]
        return np.array(prob, dtype=float), [found is not None for found in known]

    def prob_source(self, out_of_fold: bool) -> str:
        """What meta.prob_source says of a score.

        `out_of_fold`, from models that had not seen it; `classifier`, of a question that it was not trained on;
        `released`, from a classifier trained elsewhere, which may have been trained on it.
        """
        return "released" if self.learner == "released" else "out_of_fold" if out_of_fold else "classifier"

    def score_stems(self, texts: Sequence[str], max_length: int | None = None, dtype: str = "auto") -> np.ndarray:
        """P(reasoning) of each text by what is saved here, shape (n,), be it in its training set or not."""
        if not texts:
            return np.empty(0)
        from components.classifier import encoder, learners
        from components.platform.progress import progress

        def watch(batches: Any) -> Any:
            return progress(batches, "classifier: scoring batches")

        length = max_length or self.max_length
        if self.learner == "combination":
            # All the layers that the folder holds: the others were left out when it was saved.
            frozen = encoder.load_frozen(self.folder, depth="all")
            combined = learners.Combination.load(
                self.folder, lambda asked: encoder.embed(frozen, asked, length, dtype, watch)
            )
            odds = combined.log_odds(texts)
        else:
            odds = learners.log_odds_of(encoder.score(encoder.load(self.folder), texts, length, dtype, watch))
        return probabilities(odds, self.slope, self.intercept)


def _means(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    """The mean out-of-fold probability of the labelled rows of each name in `key`."""
    seen: dict[str, list[float]] = {}
    for row in rows:
        seen.setdefault(row[key], []).append(float(row["prob"]))
    return {name: float(np.mean(values)) for name, values in seen.items()}
