"""Classify: draw the line between reasoning and knowledge questions from experts' labels, and measure the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.classifier.fitting import ClassifyConfig, fit_classifier
from components.platform.tables import read_items

__all__ = ["ClassifyConfig", "classify"]  # the stage's settings, for the recipes and the component


def classify(items: Path | Sequence[Path], config: ClassifyConfig, out: Path) -> dict[str, Any]:
    """Train, measure and save a classifier from the items that carry an expert's label; returns evidence.

    What is trained and measured, and what is refused, is told at fit_classifier.
    """
    paths = [items] if isinstance(items, Path) else list(items)
    labelled = [item for path in paths for item in read_items(path) if item.question_type is not None]
    return fit_classifier(labelled, config, out)
