"""Classify: draw the line between reasoning and knowledge questions from experts' labels, and measure the line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from components.classifier.fitting import ClassifyConfig, fit_classifier
from components.platform.config import config_options, write_json
from components.platform.tables import read_items

__all__ = ["ClassifyConfig", "classify"]  # the stage's settings, for the recipes and the component


def classify(items: Path | Sequence[Path], config: ClassifyConfig, out: Path) -> dict[str, Any]:
    """Train, measure and save a classifier from the items that carry an expert's label; returns evidence.

    What is trained and measured, and what is refused, is told at fit_classifier.
    """
    paths = [items] if isinstance(items, Path) else list(items)
    labelled = [item for path in paths for item in read_items(path) if item.question_type is not None]
    return fit_classifier(labelled, config, out)


@click.command("classify")
@click.option(
    "--labels", "labels", required=True, multiple=True, type=click.Path(path_type=Path), help="labelled items"
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the checkpoint"
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="write the evidence here")
@config_options(ClassifyConfig)
def command(labels: tuple[Path, ...], out: Path, json_file: str | None, config: ClassifyConfig) -> None:
    """Train the classifier that tells reasoning questions from knowledge questions."""
    evidence = classify(labels, config, out)
    write_json(json_file, evidence)
    click.echo((out / "classifier.md").read_text(encoding="utf-8"))
    click.echo(f"threshold {evidence['threshold']:.3f} ({evidence['threshold_rule']}); saved to {out}")
