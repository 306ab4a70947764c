"""A trained reasoning classifier as stratify and curate use it: a transformers checkpoint and its classifier.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import InputError
from components.qa.calibration import probabilities
from components.qa.classification import stem
from components.qa.classifier_card import SCHEMA_VERSION
from components.qa.items import Item, group_of

CARD = "classifier.json"


@dataclass(frozen=True)
class ReasoningClassifier:
    """A classifier's folder and what its card says.

    `out_of_fold` holds, for every question group it was trained on, the probability that models without that group
    gave. The defaults stand for a checkpoint without a card of ours, such as the paper's released classifier.
    """

    folder: Path
    threshold: float = 0.5
    max_length: int = 512
    temperature: float = 1.0
    mixing: Mapping[str, float] | None = None
    out_of_fold: Mapping[str, float] = field(default_factory=dict)
    labelled: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def open(cls, folder: Path) -> ReasoningClassifier:
        """Read the card, not the weights; raises InputError for a damaged card or one of a newer schema."""
        path = folder / CARD
        if not path.is_file():
            return cls(folder)
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            version = card["schema_version"]
            if version <= SCHEMA_VERSION:
                return cls._from_card(folder, card)
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a classifier card ({error!r}); run classify again") from None
        raise InputError(f"{path}: schema_version: {version} is newer than {SCHEMA_VERSION}; upgrade biomed-r1")

    @classmethod
    def _from_card(cls, folder: Path, card: Mapping[str, Any]) -> ReasoningClassifier:
        rows = card["labelled"]
        seen: dict[str, list[float]] = {}
        for row in rows if card["out_of_fold"] else ():
            seen.setdefault(row["group_id"], []).append(float(row["prob"]))
        return cls(
            folder,
            float(card["threshold"]),
            int(card["max_length"]),
            float(card["temperature"]),
            card["mixing"],
            {group: float(np.mean(values)) for group, values in seen.items()},
            rows,
        )

    def score(
        self, rows: Sequence[Item], max_length: int | None = None, dtype: str = "auto"
    ) -> tuple[np.ndarray, list[bool]]:
        """P(reasoning) of each item's stem, and whether it is an out-of-fold one; equal stems are scored once.

        A question whose label the classifier was trained on gets the probability that models gave which had not seen
        it: no score is in-sample.
        """
        known = [self.out_of_fold.get(group_of(item)) for item in rows]
        stems = [stem(item) for item in rows]
        unknown = list(dict.fromkeys(text for text, prob in zip(stems, known, strict=True) if prob is None))
        fresh = dict(zip(unknown, self._score(unknown, max_length or self.max_length, dtype).tolist(), strict=True))
        prob = [fresh[text] if found is None else found for text, found in zip(stems, known, strict=True)]
        return np.array(prob, dtype=float), [found is not None for found in known]

    def _score(self, texts: list[str], max_length: int, dtype: str) -> np.ndarray:
        if not texts:
            return np.empty(0)
        from components.engines import encoder, learners
        from components.platform.progress import progress

        def watch(batches: Any) -> Any:
            return progress(batches, "classifier: scoring batches")

        raw = encoder.score(encoder.load(self.folder), texts, max_length, dtype, watch)
        odds = learners.log_odds_of(raw)
        if self.mixing is not None:
            from components.engines.bag_of_words import BagOfWords

            both = np.column_stack([odds, BagOfWords.load(self.folder).log_odds(texts)])
            odds = learners.apply_mixing(self.mixing, both)
        return probabilities(odds, self.temperature)
