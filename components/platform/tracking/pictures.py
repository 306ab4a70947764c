"""Pictures (PNG) of what a run recorded: the curves of a training, and accuracies with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.platform.storage import store

# Of a trainer's log: what moves and tells something. All others are in evidence.json.
SERIES = ("loss", "eval_loss", "mean_token_accuracy", "reward", "reward_std", "kl", "grad_norm", "learning_rate")
STRATA = {"all": "#555555", "reasoning": "#1f5fa8", "knowledge": "#c0392b"}
_COLUMNS = 3


def draw(folder: Path) -> None:
    """Add the pictures of the records that lie in `folder`: curves.png of evidence.json, scores.png of scores.json."""
    if evidence := store.get_json(str(folder / "evidence.json")):
        draw_curves(evidence.get("history", []), folder / "curves.png")
    if scores := store.get_json(str(folder / "scores.json")):
        draw_scores(scores.get("cells", []), folder / "scores.png")


def draw_curves(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A trainer's series over its steps, one picture each; no file where nothing was recorded."""
    series = {name: points for name in SERIES if (points := _points(history, name))}
    if not series:
        return
    from matplotlib.figure import Figure

    rows = math.ceil(len(series) / _COLUMNS)
    figure = Figure(figsize=(4 * _COLUMNS, 3 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, (name, points) in zip(grid, series.items(), strict=False):
        axes.plot(*zip(*points, strict=True), color="#1f5fa8", marker="." if len(points) < 50 else None)
        axes.set(title=name, xlabel="step")
    for axes in list(grid)[len(series) :]:
        axes.set_axis_off()
    figure.savefig(path, dpi=100)


def draw_scores(cells: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Accuracy over all benchmarks by model, setting and stratum, with 95 % intervals; no file without cells."""
    pooled = {(c["model"], c["setting"], c["stratum"]): c for c in cells if c["benchmark"] == "all" and c["n"]}
    settings = ("plain", "adversarial")
    rows = [row for row in dict.fromkeys((m, s) for m, s, _ in pooled) if row[1] in settings]
    if not rows:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for offset, (stratum, colour) in enumerate(STRATA.items()):
        for place, (model, setting) in enumerate(rows):
            cell = pooled.get((model, setting, stratum))
            if cell is None or cell["accuracy"] is None or cell["ci_low"] is None or cell["ci_high"] is None:
                continue
            y = place + 0.22 * (offset - 1)
            axes.plot([100 * cell["ci_low"], 100 * cell["ci_high"]], [y, y], color=colour)
            axes.plot(100 * cell["accuracy"], y, "o", color=colour, label=stratum if place == 0 else None)
    axes.set(yticks=range(len(rows)), yticklabels=[f"{m}, {s}" for m, s in rows], xlabel="accuracy, % (95 % interval)")
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="best")
    figure.savefig(path, dpi=100)


def _points(history: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [
        (float(record.get("step", 0)), float(record[name]))
        for record in history
        if isinstance(record.get(name), int | float) and math.isfinite(record[name])
    ]
