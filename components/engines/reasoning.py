"""A trained reasoning classifier as stratify and curate use it: a transformers checkpoint and its classifier.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.errors import InputError
from components.qa.classification import stem
from components.qa.items import Item

CARD = "classifier.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ReasoningClassifier:
    """Threshold and reading length of a classifier, and the groups whose labels it was trained on.

    The defaults stand for a checkpoint without a card of ours, such as the paper's released classifier.
    """

    folder: Path
    threshold: float = 0.5
    max_length: int = 512
    seen_groups: frozenset[str] = frozenset()

    @classmethod
    def open(cls, folder: Path) -> ReasoningClassifier:
        """Read the card, not the weights; raises InputError for a damaged card or one of a newer schema."""
        path = folder / CARD
        if not path.is_file():
            return cls(folder)
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            version, threshold, max_length = card["schema_version"], card["threshold"], card["max_length"]
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a classifier card ({error!r}); run classify again") from None
        if version > SCHEMA_VERSION:
            raise InputError(f"{path}: schema_version: {version} is newer than {SCHEMA_VERSION}; upgrade biomed-r1")
        return cls(folder, float(threshold), int(max_length), frozenset(card.get("seen_groups", ())))

    def score(self, rows: Sequence[Item], max_length: int | None = None, dtype: str = "auto") -> np.ndarray:
        """P(reasoning) of each item's stem; equal stems are scored once."""
        from components.engines import encoder
        from components.platform.progress import progress

        stems = [stem(item) for item in rows]
        place = {text: number for number, text in enumerate(dict.fromkeys(stems))}
        scores = encoder.score(
            encoder.load(self.folder),
            list(place),
            max_length or self.max_length,
            dtype,
            lambda batches: progress(batches, "classifier: scoring batches"),
        )
        return scores[[place[text] for text in stems]]
