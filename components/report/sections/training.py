"""Training: the loss and the rewards of each stage over its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.report.charts import Axis, axis, curve
from components.report.page import Figure, Section
from components.report.wording import MINUS, is_number

Curve = list[tuple[float, float]]  # (step, value)

# The curves worth a drawing, by stage; what a history does not have is not drawn.
_CURVES = {
    "sft": ("loss",),
    "grpo": ("reward", "reward_correctness", "reward_format", "reward_self_correction"),
}
_OTHER_CURVES = ("loss", "reward")


def section(histories: Mapping[str, Any]) -> Section:
    """The curves of every stage that was trained; left out without a history."""
    drawn, sentences = [], []
    for stage, history in histories.items():
        curves = series(history, _CURVES.get(stage, _OTHER_CURVES))
        if curves:
            drawn.append(training_figure(stage, curves))
            sentences.append(curve_sentence(stage, *next(iter(curves.items()))))
    absent = "" if drawn else "No training history was given."
    return Section("training", "Training", sentences, drawn, absent=absent)


def series(history: Any, wanted: Sequence[str]) -> dict[str, Curve]:
    """The curves of a training history by name; `history` is the list of steps or a record that holds it."""
    rows = history.get("history") if isinstance(history, Mapping) else history
    out: dict[str, Curve] = {}
    for name in wanted:
        points = [
            (float(r["step"]), float(r[name]))
            for r in rows or []
            if is_number(r.get("step")) and is_number(r.get(name))
        ]
        if points:
            out[name] = sorted(points)
    return out


def curve_sentence(stage: str, name: str, points: Curve) -> str:
    """First and last thirds of a curve, compared: single steps are too noisy to quote."""
    size = max(1, len(points) // 3)
    first, last = (sum(v for _, v in part) / size for part in (points[:size], points[-size:]))
    return (
        f"{stage.upper()}: {name.replace('_', ' ')} went from {first:.3g} to {last:.3g} (means of the first and last "
        f"third) in {int(points[-1][0])} steps."
    )


def training_figure(stage: str, found: Mapping[str, Curve]) -> Figure:
    """The curves of one training stage over its steps."""
    steps = [x for c in found.values() for x, _ in c]
    values = [y for c in found.values() for _, y in c]
    # The parts of a reward are named without it: four long names do not fit a phone.
    found = {name.removeprefix("reward_").replace("_", " "): points for name, points in found.items()}
    names = ", ".join(found)
    ends = "; ".join(f"{n} from {c[0][1]:.3g} to {c[-1][1]:.3g}" for n, c in found.items())
    x = Axis(min(steps), max(max(steps), min(steps) + 1), (min(steps), max(steps)), lambda v: f"step {v:g}")
    y = axis(values, lambda v: f"{v:g}".replace("-", MINUS), min(0.0, min(values)), count=3)
    drawing = curve(f"{stage.upper()} training, {names} by step: {ends}.", list(found.items()), x, y)
    return Figure(drawing, f"{stage.upper()}: {names} by optimizer step.")
