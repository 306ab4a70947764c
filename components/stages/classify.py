"""Classify: fine-tune an encoder to tell reasoning questions from knowledge questions on experts' labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError
from components.platform.models import local_model, model_digest
from components.platform.progress import progress
from components.platform.tables import read_items
from components.platform.verbs import config_options, write_json
from components.qa import classification as qa
from components.qa.items import Item, group_of

SCHEMA_VERSION = 1
MIN_GROUPS = 8  # of each label: fewer leave a part of the split without one


class ClassifyConfig(BaseModel):
    """Hyper-parameters and threshold rule were not published (paper.md): these are free, named choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("package:minilm-l6-v2", description="model reference of the encoder to fine-tune")
    epochs: int = Field(3, ge=1)
    lr: float = Field(1e-4, gt=0)
    batch_size: int = Field(16, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    # Measured on MedXpertQA's labels, 735 to train on and 1,715 held out, two epochs: AUROC 0.843 with the
    # last 128 tokens, 0.786 with the first 128, 0.847 with the last 256 at 1.6 times the cost.
    max_length: int = Field(128, ge=16, le=8192, description="tokens of a question, counted from its end")
    holdout_fraction: float = Field(0.2, gt=0, lt=0.5, description="groups that only measure")
    tune_fraction: float = Field(0.2, gt=0, lt=0.5, description="groups that only set the threshold")
    refit: bool = Field(True, description="ship a model trained on all labels, not the one that was measured")
    threshold_rule: Literal["balanced_accuracy", "fixed", "match_share"] = "balanced_accuracy"
    threshold: float | None = Field(None, ge=0, le=1, description="for the rule fixed")
    target_share: float | None = Field(None, gt=0, lt=1, description="for match_share; null: the labels' own share")
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    seed: int = 0


def classify(items: Path | Sequence[Path], config: ClassifyConfig, out: Path) -> dict[str, Any]:
    """Train, measure and save a classifier; returns evidence and writes a transformers checkpoint to `out`.

    Labelled groups are split three ways: training, tuning (the threshold's only data) and held-out (the figures' only
    data). With `refit` the shipped weights are then trained on all labels by the same recipe; figures and threshold
    stay those of the measured model. Raises InputError when there are too few labels.
    """
    from components.engines import encoder

    rows = _labelled([items] if isinstance(items, Path) else list(items))
    groups = [group_of(item) for item in rows]
    labels = np.array([int(item.question_type == "Reasoning") for item in rows])
    texts = [qa.stem(item) for item in rows]
    _enough(groups, labels)
    parts = qa.split_groups(groups, labels.tolist(), (config.holdout_fraction, config.tune_fraction), config.seed)
    holdout, tune, training = (np.array(part) for part in parts)

    how = encoder.Training(
        **config.model_dump(include={"epochs", "lr", "batch_size", "max_length", "weight_decay", "seed", "dtype"})
    )
    base = local_model(config.model)

    def fit(part: np.ndarray, label: str) -> tuple[encoder.Encoder, list[dict[str, float]]]:
        return encoder.train(
            base, [texts[i] for i in part], labels[part].tolist(), how, lambda steps: progress(steps, label)
        )

    model, history = fit(training, "classifier: training steps")
    measured = np.concatenate([tune, holdout])
    scored = encoder.score(model, [texts[i] for i in measured], config.max_length, config.dtype)
    prob = dict(zip(measured.tolist(), scored.tolist(), strict=True))
    if config.refit:
        model, history = fit(np.arange(len(rows)), "classifier: training steps on all labels")
    encoder.save(model, out)

    lengths = np.array([len(text.split()) for text in texts], dtype=float)
    scores = np.array([prob.get(i, np.nan) for i in range(len(rows))])
    card = _card(config, rows, groups, labels, scores, lengths, tune, holdout)
    card["rows"] = {"labelled": len(rows), "training": len(training), "tuning": len(tune), "heldout": len(holdout)}
    (out / "classifier.json").write_text(json.dumps(card, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    _draw_roc(card, out / "roc.png")
    _draw_confusion(card, out / "confusion.png")
    return _evidence(card, history)


def _labelled(paths: list[Path]) -> list[Item]:
    return [item for path in paths for item in read_items(path) if item.question_type is not None]


def _enough(groups: list[str], labels: np.ndarray) -> None:
    for value, name in ((1, "Reasoning"), (0, "Understanding")):
        count = len({g for g, label in zip(groups, labels, strict=True) if label == value})
        if count < MIN_GROUPS:
            raise InputError(
                f"labels: question_type: {count} distinct questions are labelled {name}, at least {MIN_GROUPS} are "
                "needed; label more, or give a trained classifier instead"
            )


def _card(
    config: ClassifyConfig,
    rows: list[Item],
    groups: list[str],
    labels: np.ndarray,
    scores: np.ndarray,
    lengths: np.ndarray,
    tune: np.ndarray,
    holdout: np.ndarray,
) -> dict[str, Any]:
    """classifier.json: threshold, held-out figures and curves, baselines on the same rows; no question text."""
    threshold = qa.choose_threshold(
        config.threshold_rule, scores[tune], labels[tune], config.threshold, config.target_share
    )
    truth, prob, held = labels[holdout], scores[holdout], [groups[i] for i in holdout]
    # The baselines get the same tuning rows: the length threshold is learnt there, and so is the majority.
    length_cut = qa.choose_threshold("balanced_accuracy", lengths[tune], labels[tune])
    majority = float(labels[tune].mean() >= 0.5)
    low, high = qa.group_interval(
        held, {"labels": truth, "scores": prob}, lambda labels, scores: qa.auroc(labels, scores), config.seed
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "model": config.model,
        "model_digest": model_digest(config.model),
        "max_length": config.max_length,
        "dtype": config.dtype,
        "threshold": threshold,
        "threshold_rule": config.threshold_rule,
        "threshold_data": "tuning rows: neither trained on nor held out",
        "refit": config.refit,
        "metrics": {**qa.report(truth, prob, threshold), "auroc_ci_low": low, "auroc_ci_high": high},
        "baselines": {
            "majority": qa.report(truth, np.full(len(truth), majority), 0.5),
            "question_length": qa.report(truth, lengths[holdout], length_cut),
        },
        "labelled_reasoning_share": float(labels.mean()),
        "confusion": {"labels": ["Understanding", "Reasoning"], "matrix": qa.confusion(truth, prob >= threshold)},
        "roc": qa.roc_curve(truth, prob),
        "heldout": [
            {"id": rows[i].id, "group_id": groups[i], "label": int(labels[i]), "prob": float(scores[i])}
            for i in holdout
        ],
        "seen_groups": sorted({g for i, g in enumerate(groups) if config.refit or np.isnan(scores[i])}),
    }


def _evidence(card: dict[str, Any], history: list[dict[str, float]]) -> dict[str, Any]:
    metrics = {f"heldout_{name}": value for name, value in card["metrics"].items()}
    for baseline, figures in card["baselines"].items():
        metrics |= {f"{baseline}_{name}": value for name, value in figures.items()}
    metrics["threshold"] = card["threshold"]
    keep = ("threshold", "threshold_rule", "threshold_data", "baselines", "rows", "confusion", "roc", "model", "refit")
    return {
        **{name: card[name] for name in keep},
        "heldout": card["metrics"],
        "steps": len(history),
        "metrics": metrics,
        "history": history,
    }


def _draw_roc(card: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    auroc = card["metrics"]["auroc"]
    axes.plot(card["roc"]["fpr"], card["roc"]["tpr"], color="#1f5fa8", label=f"classifier, AUROC {auroc:.3f}")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="chance")
    (_, fp), (fn, tp) = ((r[0], r[1]) for r in card["confusion"]["matrix"])
    negatives = sum(card["confusion"]["matrix"][0])
    axes.plot(fp / negatives, tp / (fn + tp), "o", color="#c0392b", label=f"threshold {card['threshold']:.2f}")
    axes.set(xlabel="knowledge questions called reasoning", ylabel="reasoning questions found", title="Held-out ROC")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def _draw_confusion(card: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    matrix, names = np.array(card["confusion"]["matrix"]), card["confusion"]["labels"]
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(matrix, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(matrix):
        dark = count > matrix.max() / 2
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    axes.set(xticks=[0, 1], xticklabels=names, yticks=[0, 1], yticklabels=names, xlabel="classifier", ylabel="experts")
    axes.set_title("Held-out questions")
    figure.savefig(path, dpi=120)


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
    held, base = evidence["heldout"], evidence["baselines"]
    click.echo(
        f"held-out {evidence['rows']['heldout']} questions: accuracy {held['accuracy']:.3f}, balanced "
        f"{held['balanced_accuracy']:.3f}, AUROC {held['auroc']:.3f} "
        f"({held['auroc_ci_low']:.3f} to {held['auroc_ci_high']:.3f})"
    )
    click.echo(
        f"baselines: majority accuracy {base['majority']['accuracy']:.3f}, question length AUROC "
        f"{base['question_length']['auroc']:.3f}"
    )
    click.echo(f"threshold {evidence['threshold']:.3f} ({evidence['threshold_rule']}); saved to {out}")
