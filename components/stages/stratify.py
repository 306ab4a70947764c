"""Stratify: a classifier says of every item whether it takes reasoning, and how many do, per benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components import samples
from components.classifier import metrics as qa
from components.classifier.figures import draw_share_curve
from components.classifier.fitting import ClassifyConfig, fit_classifier
from components.classifier.model import ReasoningClassifier
from components.classifier.shares import Errors, describe_strata
from components.errors import InputError
from components.platform.folders.deletion import made_once
from components.platform.lineage import code_digest
from components.platform.machine import home
from components.platform.models import model_digest
from components.platform.storage.store import file_sha256
from components.platform.tables import read_items, write_items
from components.questions.items import STRATUM_COLUMNS, Item
from components.questions.published import REASONING_SHARE
from components.questions.sampling import nearest
from components.questions.seal import Seal, open_items
from components.report.nearest import nearest_page


class StratifyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold_rule: Literal["classifier", "fixed", "match_share"] = Field(
        "classifier", description="classifier: the one in its classifier.json; match_share: target_share of these items"
    )
    threshold: float | None = Field(None, ge=0, le=1, description="for the rule fixed")
    target_share: float = Field(REASONING_SHARE, gt=0, lt=1, description="for match_share; default: the paper's")
    max_length: int | None = Field(None, ge=16, description="tokens of a question; null: as in training")
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    nearest: int = Field(20, ge=0, description="items per benchmark on the page of those nearest the threshold")
    sealed: float = Field(0.0, ge=0, lt=1, description="share of the questions that no page quotes (the gate's)")
    seed: int = Field(0, description="of the bootstrap intervals")

    @model_validator(mode="after")
    def _fits(self) -> StratifyConfig:
        share = None if self.target_share == REASONING_SHARE else self.target_share
        qa.check_rule(self.threshold_rule, self.threshold, share)
        return self


# What length is worth on MedXpertQA's expert labels, log-odds per log of words. The samples cannot tell: they were
# written so that length says nothing. Without it the default's AUROC on those labels is 0.774, with it 0.81.
LENGTH_SLOPE = 1.25
DEFAULT = ClassifyConfig(dtype="float32", length_slope=LENGTH_SLOPE)
SAMPLE_KINDS: tuple[Literal["benchmarks", "train"], ...] = ("benchmarks", "train")


def default_classifier() -> Path:
    """The folder of the classifier that is used where none is named: trained on the labels of the shipped samples.

    Made on first use (seconds: nothing in it is fine-tuned) and kept in the home folder under what it was made of:
    samples, settings, encoder and code. Some hundred questions written by a language model are a small, made-up
    teacher: experts' labels, given to `classify`, make a better one. Its card flatters it, for some samples reword
    others: on MedXpertQA's experts' labels its AUROC is 0.810, number of words alone 0.784.
    """
    return made_once(_default_folder(), _fit_default)


def _fit_default(folder: Path) -> None:
    rows = [item for path in _sample_files() for item in read_items(path) if item.question_type is not None]
    fit_classifier(rows, DEFAULT, folder, f"the {len(rows)} labelled sample questions of this package")


def _sample_files() -> list[Path]:
    return [path for kind in SAMPLE_KINDS for path in sorted(samples.path(kind).glob("*.jsonl"))]


def _default_folder() -> Path:
    made_of = (
        *(file_sha256(path) for path in _sample_files()),
        DEFAULT.model_dump_json(),
        model_digest(DEFAULT.model),
        code_digest("components.classifier.fitting"),
    )
    return home() / "classifiers" / hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:32]


def stratify(
    items: Path | Sequence[Path], classifier: Path | None, config: StratifyConfig, out: Path, seal_number: int = 0
) -> dict[str, Any]:
    """Score every item and write them to `out` with reasoning_prob, is_reasoning and reasoning_threshold set.

    `classifier`: the folder of a trained one; None takes default_classifier, and the evidence says so.
    Beside `out`: share-curve.png, and nearest.html with the items that a human should judge. Strata that an input
    carries from elsewhere move to meta.published and are compared with ours. Returns the share per benchmark, pooled
    and macro, with intervals over question groups, raw and corrected, beside the paper's.
    """
    rows = _read([items] if isinstance(items, Path) else list(items))
    model = ReasoningClassifier.open(classifier or default_classifier())
    probabilities, out_of_fold = model.score(rows, config.max_length, config.dtype)
    threshold = _threshold(config, model, probabilities)
    stratified = [
        _published_aside(item).with_(
            reasoning_prob=float(prob), is_reasoning=bool(prob >= threshold), reasoning_threshold=threshold
        )
        for item, prob in zip(rows, probabilities, strict=True)
    ]
    marked = [
        item.with_(meta={**item.meta, "prob_source": model.prob_source(known)})
        for item, known in zip(stratified, out_of_fold, strict=True)
    ]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_items(marked, out)
    errors = _errors(model, threshold)
    evidence = describe_strata(marked, threshold, config.threshold_rule, errors, config.seed)
    evidence["classifier"] = {
        "default": classifier is None,
        "trained_on": model.trained_on,
        "words": _origin(model, classifier),
    }
    draw_share_curve(evidence["share_curve"], threshold, REASONING_SHARE, out.with_name("share-curve.png"))
    quotable = open_items(marked, Seal(config.sealed, seal_number))
    page = nearest_page(nearest(quotable, threshold, config.nearest), threshold)
    out.with_name("nearest.html").write_text(page, encoding="utf-8")
    return evidence


def _origin(model: ReasoningClassifier, classifier: Path | None) -> str:
    if classifier is None:
        return f"No classifier was given: this one was trained here on {model.trained_on}."
    return f"The classifier was trained on {'unknown labels' if model.trained_on == 'unknown' else model.trained_on}."


def _read(paths: list[Path]) -> list[Item]:
    rows: list[Item] = []
    source: dict[str, Path] = {}
    for path in paths:
        for item in read_items(path):
            if item.id in source:
                raise InputError(f"{path}: id: {item.id!r} is also an id of {source[item.id]}; ids must be unique")
            source[item.id] = path
            rows.append(item)
    return rows


def _threshold(config: StratifyConfig, model: ReasoningClassifier, probabilities: np.ndarray) -> float:
    if config.threshold_rule == "classifier":
        return model.threshold
    return qa.choose_threshold(
        config.threshold_rule, probabilities, fixed=config.threshold, target_share=config.target_share
    )


def _published_aside(item: Item) -> Item:
    """Strata of unknown origin go to meta.published; ours (they carry meta.prob_source) are simply replaced."""
    found = {name: getattr(item, name) for name in STRATUM_COLUMNS if getattr(item, name) is not None}
    if not found or "prob_source" in item.meta or "published" in item.meta:
        return item
    return item.with_(meta={**item.meta, "published": found})


def _errors(model: ReasoningClassifier, threshold: float) -> Errors | None:
    """Labels, what the classifier calls them at this threshold, and their groups; None without a card."""
    if not model.labelled:
        return None
    # Cut as the items are: a fold's own threshold, as in the card's table, would be another judge than the items'.
    labels = np.array([row["label"] for row in model.labelled])
    called = np.array([int(row["prob"] >= threshold) for row in model.labelled])
    return labels, called, [row["group_id"] for row in model.labelled]
