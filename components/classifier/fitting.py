"""From labelled questions to a classifier's folder: trained, measured out of fold, saved with its card.

The stage `classify` reads the labels and calls this; so does `stratify` for the classifier that it makes by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.classifier import metrics as qa
from components.classifier.card import SCHEMA_VERSION, markdown, measured
from components.classifier.evaluation import Judged, constant, fold_groups, judge, make_folds, refuse_leak
from components.classifier.figures import draw_classifier
from components.errors import InputError
from components.platform.models import local_model, model_digest
from components.platform.progress import progress
from components.questions.items import Item, group_of

MIN_GROUPS = 8  # of each label: fewer measure nothing, whatever the number of folds


class ClassifyConfig(BaseModel):
    """Hyper-parameters and threshold rule were not published (paper.md): these are free, named choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("package:minilm-l6-v2", description="model reference of the encoder")
    learner: Literal["encoder", "combination", "released"] = Field(
        "combination",
        description="combination: length, n-grams, surface features and the frozen encoder; encoder: it fine-tuned; "
        "released: `model` as it is",
    )
    folds: int = Field(5, ge=2, le=20, description="of the out-of-fold scores; the shipped model sees every label")
    epochs: int = Field(2, ge=1, description="of the learner encoder, as are lr, batch_size and weight_decay")
    lr: float = Field(1e-4, gt=0)
    batch_size: int = Field(16, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    # Measured on MedXpertQA's labels with the learner encoder, 735 to train on and 1,715 held out, two epochs: AUROC
    # 0.843 with the last 128 tokens, 0.786 with the first 128, 0.847 with the last 256 at 1.6 times the cost.
    max_length: int = Field(128, ge=16, le=8192, description="tokens of a question, counted from its end")
    length_slope: float | None = Field(
        None, ge=0, description="of the combination, log-odds per log(1 + words); null: from the labels"
    )
    threshold_rule: Literal["balanced_accuracy", "fixed", "match_share"] = "balanced_accuracy"
    threshold: float | None = Field(None, ge=0, le=1, description="for the rule fixed")
    target_share: float | None = Field(None, gt=0, lt=1, description="for match_share; null: the labels' own share")
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> ClassifyConfig:
        qa.check_rule(self.threshold_rule, self.threshold, self.target_share)
        return self


def fit_classifier(
    rows: Sequence[Item], config: ClassifyConfig, out: Path, trained_on: str = "the labels given"
) -> dict[str, Any]:
    """Train on labelled items, measure, and save to `out`; returns evidence. The card says what it was `trained_on`.

    Every labelled question is scored by models trained on the other folds; figures, calibration and threshold come from
    those scores alone. What is saved is then trained on all labels. Raises InputError when there are too few labels, or
    a released classifier's stand the wrong way round.
    """
    labels = np.array([int(item.question_type == "Reasoning") for item in rows])
    groups, fold = _folds(rows, labels, config)
    texts = [qa.stem(item) for item in rows]
    base = local_model(config.model)
    fitted = _Fitted(config, base, texts, labels, groups)
    odds = fitted.out_of_fold(fold)
    card = measured_card(rows, labels, groups, fold, odds, config, trained_on)
    out.mkdir(parents=True, exist_ok=True)
    history = fitted.save(out)
    (out / "classifier.json").write_text(json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "classifier.md").write_text(markdown(card), encoding="utf-8")
    draw_classifier(card, out)
    return _evidence(card, history)


def measured_card(
    rows: Sequence[Item],
    labels: np.ndarray,
    groups: Sequence[str],
    fold: np.ndarray,
    odds: Mapping[str, np.ndarray],
    config: ClassifyConfig,
    trained_on: str = "the labels given",
) -> dict[str, Any]:
    """classifier.json: what the out-of-fold log-odds of every classifier say, and the one that is shipped.

    Raises InputError for a released classifier that ranks the labelled questions the wrong way round.
    """
    rule = partial(qa.choose_threshold, config.threshold_rule, fixed=config.threshold, target_share=config.target_share)
    judged = {name: judge(labels, values, fold, rule) for name, values in odds.items()}
    if config.learner != "released":
        judged = {"majority": constant(labels, fold), **judged}
    figures = _measured(rows, groups, labels, [qa.stem(item) for item in rows], judged, config)
    if config.learner == "released":
        _refuse_inverted(figures["metrics"], config.model)
    slope, intercept = qa.fit_calibration(labels, odds[config.learner])
    return {
        "schema_version": SCHEMA_VERSION,
        "model": config.model,
        "model_digest": model_digest(config.model),
        "learner": config.learner,
        "max_length": config.max_length,
        "dtype": config.dtype,
        "slope": slope,
        "intercept": intercept,
        "threshold": rule(judged[config.learner].prob, labels),
        "threshold_rule": config.threshold_rule,
        "out_of_fold": config.learner != "released",
        "length_slope": config.length_slope,
        "trained_on": trained_on if config.learner != "released" else "unknown",
        "measured_on": _measured_on(config),
        "folds": config.folds,
        **figures,
    }


def _folds(rows: Sequence[Item], labels: np.ndarray, config: ClassifyConfig) -> tuple[list[str], np.ndarray]:
    """What may not be parted, and the fold of each row; no question group and no stem is in two folds."""
    own, stems = [group_of(item) for item in rows], [qa.stem_id(item) for item in rows]
    groups = fold_groups(own, stems)
    _enough(groups, labels)
    fold = make_folds(groups, labels, config.folds, config.seed)
    refuse_leak(own, fold)
    refuse_leak(stems, fold, "stem")
    return groups, fold


def _enough(groups: list[str], labels: np.ndarray) -> None:
    for value, name in ((1, "Reasoning"), (0, "Understanding")):
        count = len({g for g, label in zip(groups, labels, strict=True) if label == value})
        if count < MIN_GROUPS:
            raise InputError(
                f"labels: question_type: {count} distinct questions are labelled {name}, at least {MIN_GROUPS} are "
                "needed; label more, or give a trained classifier instead"
            )


class _Fitted:
    """What is trained on the labels: out of fold for the table, on all of them for the folder."""

    def __init__(
        self, config: ClassifyConfig, base: Path, texts: list[str], labels: np.ndarray, groups: list[str]
    ) -> None:
        from components.classifier import encoder, learners

        self._config, self._base = config, base
        self._texts, self._labels, self._groups = texts, labels, groups
        names = {"epochs", "lr", "batch_size", "max_length", "weight_decay", "seed", "dtype"}
        self._how = encoder.Training(**config.model_dump(include=names))
        if config.learner != "released":
            self._frozen = encoder.load_frozen(base)
            self._embed = learners.remembered(self._read)

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        from components.classifier import encoder

        return encoder.embed(
            self._frozen,
            texts,
            self._config.max_length,
            self._config.dtype,
            lambda batches: progress(batches, "classifier: reading batches"),
        )

    def out_of_fold(self, fold: np.ndarray) -> dict[str, np.ndarray]:
        """Log-odds of each classifier of the table; a released one's as they are."""
        from components.classifier import encoder, learners

        config = self._config
        if config.learner == "released":
            found = encoder.score(encoder.load(self._base), self._texts, config.max_length, config.dtype)
            return {"released": learners.log_odds_of(found)}
        named = {
            "question_length": learners.question_length,
            "tfidf": learners.tfidf,
            "frozen_encoder": learners.frozen_encoder(self._embed),
        }
        if config.learner == "encoder":
            named["encoder"] = learners.fine_tuned(
                self._base, self._how, f"classifier: one of {config.folds} folds, steps"
            )
        fitters = learners.part_fitters(self._embed)
        known = self._texts, self._labels, self._groups
        return learners.out_of_fold(named, fitters, *known, fold, config.seed, config.length_slope)

    def save(self, out: Path) -> list[dict[str, float]]:
        """Write the classifier that is shipped, trained on every label; returns its loss at every step, if it has any.

        A combination's folder holds the layers of the encoder that it reads, without a head, beside its own files.
        """
        from components.classifier import encoder, learners

        if self._config.learner == "released":
            encoder.save(encoder.load(self._base), out)
            return []
        if self._config.learner == "combination":
            fitters = learners.part_fitters(self._embed)
            known = self._texts, self._labels, self._groups
            learners.Combination.fit(fitters, *known, self._config.seed, self._config.length_slope).save(out)
            encoder.save_plain(self._frozen, out)
            return []
        model, history = encoder.train(
            self._base,
            self._texts,
            self._labels.tolist(),
            self._how,
            lambda steps: progress(steps, "classifier: training steps on all labels"),
        )
        encoder.save(model, out)
        return history


def _refuse_inverted(metrics: Mapping[str, Any], model: str) -> None:
    """Raise InputError when a released classifier ranks the labelled questions the wrong way round, beyond chance."""
    auroc, low, high = (metrics[name] for name in ("auroc", "auroc_ci_low", "auroc_ci_high"))
    if high is not None and high < 0.5:
        raise InputError(
            f"model {model}: its AUROC on the labelled questions is {auroc:.3f} ({low:.3f} to {high:.3f}), below 0.5: "
            "its labels look inverted; name the one that means reasoning 'reasoning' in id2label of its config.json"
        )


def _measured(
    rows: Sequence[Item],
    groups: Sequence[str],
    labels: np.ndarray,
    texts: Sequence[str],
    judged: Mapping[str, Judged],
    config: ClassifyConfig,
) -> dict[str, Any]:
    words = np.array([len(text.split()) for text in texts], dtype=float)
    found = measured(labels, groups, [item.id for item in rows], judged, config.learner, words, config.seed)
    # `group_id` is the unit of folds and intervals; by these two an item to be scored is known again.
    for row, item in zip(found["labelled"], rows, strict=True):
        row |= {"question_group": group_of(item), "stem_id": qa.stem_id(item)}
    return found


def _measured_on(config: ClassifyConfig) -> str:
    if config.learner == "released":
        return "which it may have been trained on"
    return f"each scored by models trained on the other {config.folds - 1} of {config.folds} folds"


def _evidence(card: dict[str, Any], history: list[dict[str, float]]) -> dict[str, Any]:
    """The card without its rows and curves, and its figures flat for MLflow."""
    metrics = {f"{card['learner']}_{name}": value for name, value in card["metrics"].items()}
    for baseline, figures in card["baselines"].items():
        metrics |= {f"{baseline}_{name}": value for name, value in figures.items()}
    metrics |= {name: card[name] for name in ("threshold", "slope", "intercept")}
    return {
        **{name: value for name, value in card.items() if name not in ("labelled", "roc")},
        "rows_in": len(card["labelled"]),
        "steps": len(history),
        "history": history,
        "metrics": {name: value for name, value in metrics.items() if value is not None},
    }
