"""A classifier's pictures as PNG: ROC, confusion, reliability, and the reasoning share over the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.classifier.metrics import ECE_BINS

Record = Mapping[str, Any]


def draw_classifier(card: Record, folder: Path) -> None:
    """roc.png, confusion.png and reliability.png from a classifier card."""
    _roc(card, folder / "roc.png")
    _confusion(card, folder / "confusion.png")
    _reliability(card, folder / "reliability.png")


def draw_share_curve(curve: Record, threshold: float, paper: float, path: Path) -> None:
    """The share called reasoning over the threshold, with the paper's share and the threshold in use marked."""
    figure, axes = _axes(6, 4)
    axes.plot(curve["threshold"], curve["pooled"], color="#1f5fa8", label="all questions")
    axes.plot(curve["threshold"], curve["macro"], color="#1f5fa8", linestyle="--", label="mean of benchmarks")
    axes.axhline(paper, color="#c0392b", linestyle=":", label=f"paper: {paper:.1%}")
    axes.axvline(threshold, color="#555555", linestyle="-.", label=f"threshold in use: {threshold:.2f}")
    axes.set(xlabel="threshold", ylabel="called reasoning", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("The threshold decides the share")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _roc(card: Record, path: Path) -> None:
    figure, axes = _axes(4.5, 4.5)
    auroc = card["metrics"]["auroc"]
    axes.plot(card["roc"]["fpr"], card["roc"]["tpr"], color="#1f5fa8", label=f"classifier, AUROC {auroc:.3f}")
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="chance")
    (tn, fp), (fn, tp) = card["confusion"]["matrix"]
    where = fp / max(1, tn + fp), tp / max(1, fn + tp)
    axes.plot(*where, "o", color="#c0392b", label=f"threshold {card['threshold']:.2f}")
    axes.set(xlabel="knowledge questions called reasoning", ylabel="reasoning questions found")
    axes.set_title("ROC, every question by a model that never saw it" if card["out_of_fold"] else "ROC")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def _confusion(card: Record, path: Path) -> None:
    matrix, names = np.array(card["confusion"]["matrix"]), card["confusion"]["labels"]
    figure, axes = _axes(4.5, 4)
    axes.imshow(matrix, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(matrix):
        dark = count > matrix.max() / 2
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    axes.set(xticks=[0, 1], xticklabels=names, yticks=[0, 1], yticklabels=names, xlabel="classifier", ylabel="experts")
    axes.set_title("Labelled questions")
    figure.savefig(path, dpi=120)


def _reliability(card: Record, path: Path) -> None:
    rows = card["labelled"]
    prob, label = np.array([r["prob"] for r in rows]), np.array([r["label"] for r in rows], dtype=float)
    bins = np.minimum((prob * ECE_BINS).astype(int), ECE_BINS - 1)
    used = np.unique(bins)
    figure, axes = _axes(4.5, 4.5)
    axes.plot([0, 1], [0, 1], color="#999999", linestyle=":", label="perfect")
    means = [(prob[bins == b].mean(), label[bins == b].mean(), int(np.sum(bins == b))) for b in used]
    x, y, n = (np.array(column) for column in zip(*means, strict=True))
    axes.scatter(x, y, s=20 + 200 * n / n.max(), color="#1f5fa8", alpha=0.7, label="a bin; area: questions")
    axes.set(xlabel="probability given", ylabel="share that experts call reasoning", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Calibration, ECE {card['metrics']['ece_after']:.3f}")
    axes.legend(loc="upper left", frameon=False)
    figure.savefig(path, dpi=120)
