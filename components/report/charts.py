"""Figures as inline SVG, drawn by hand: no library to import, no script, and colours from the page's own CSS.

Horizontal positions are percentages of the figure's width and everything else is in pixels, so a figure is as
wide as its place while its text keeps the size of the page: readable on a phone without a second drawing.
Classes (`knowledge`, `reasoning`, `s0` …) get their colours from the page; shapes differ too, not colour alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from components.report.wording import MINUS

# How a legend shows each marker; all others are circles.
_SIGNS = {
    "reasoning": "\N{BLACK DIAMOND}",
    "within_benchmark": "\N{BLACK SQUARE}",
    "macro": "\N{BLACK UP-POINTING TRIANGLE}",
    "mark": "\N{BOX DRAWINGS LIGHT QUADRUPLE DASH VERTICAL}",
    "line": "\N{EM DASH}",
}
MODELS = ("pooled", "within_benchmark", "macro")  # kinds of the models in a figure that has no other kinds
Points = Sequence[tuple[float, float]]

LEFT, RIGHT = 1.0, 99.0  # percent: room for half a marker at either end
TITLE, ROW, AXIS, LEGEND = 22, 20, 22, 24  # pixels
LINE, KEY_LINE = 44, 54  # characters of a name and of a legend that fit a phone's width


@dataclass(frozen=True)
class Dot:
    """A value with its interval; `other` draws a line to a second, hollow marker (before and after)."""

    kind: str
    value: float
    low: float | None = None
    high: float | None = None
    other: float | None = None


@dataclass(frozen=True)
class Group:
    """A titled group of rows; `note` stands at the right end of the title's line; `mark` is a tick on its rows."""

    title: str
    note: str
    dots: tuple[Dot, ...]
    mark: float | None = None


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    ticks: tuple[float, ...]
    text: Callable[[float], str]
    left: float = LEFT

    def x(self, value: float) -> str:
        inside = min(max(value, self.low), self.high)
        return f"{self.left + (RIGHT - self.left) * (inside - self.low) / (self.high - self.low):.2f}%"


def axis(values: Iterable[float], text: Callable[[float], str], floor: float | None = None, count: int = 5) -> Axis:
    """An axis with round ticks that covers `values` (fractions or plain numbers), from `floor` where given."""
    numbers = list(values) or [0.0, 1.0]
    low, high = min(numbers) if floor is None else floor, max(numbers)
    span = (high - low) or abs(high) or 1.0
    raw = span / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    start = step * math.floor(low / step + 1e-9)
    ticks = [start]
    while ticks[-1] < high - 1e-9 * span or len(ticks) < 2:
        ticks.append(start + step * len(ticks))
    return Axis(ticks[0], ticks[-1], tuple(round(t, 12) for t in ticks), text)


def around_zero(groups: Sequence[Group]) -> Axis:
    """An axis in points that covers the groups' values, intervals and marks, and zero."""
    values = [v for g in groups for d in g.dots for v in (d.low, d.high, d.value, g.mark, 0.0) if v is not None]
    return axis(values, point_tick, count=4)


def percent_tick(value: float) -> str:
    """A fraction as the label of a tick."""
    return f"{100 * value:g} %"


def point_tick(value: float) -> str:
    """A signed difference as the label of a tick, in points."""
    text = f"{100 * value:+.1f}".removesuffix(".0").replace("-", MINUS)
    return "0" if text in ("+0", MINUS + "0") else text


def stratum_keys(strata: Sequence[str]) -> list[tuple[str, str]]:
    """The legend of a figure that tells these strata apart, each drawn as the kind of its name."""
    return [(name, "all questions" if name == "all" else name) for name in strata]


def dots(
    label: str, groups: Sequence[Group], ax: Axis, legend: Sequence[tuple[str, str]], zero: bool = False
) -> Markup:
    """Intervals on a shared axis, one group a model. `label` is the figure's alternative text."""
    top = _legend_height(legend)
    height = top + sum(_title_height(g) + ROW * len(g.dots) + 6 for g in groups) + AXIS
    parts = [_legend(legend), _grid(ax, top, height - AXIS, zero)]
    y = top
    for group in groups:
        first = y + _title_height(group)
        parts.append(_title(group.title, group.note, y + 15, first - 7))
        if group.mark is not None:
            parts.append(_line(ax.x(group.mark), ax.x(group.mark), first, first + ROW * len(group.dots), "mark"))
        for index, dot in enumerate(group.dots):
            parts.append(_dot(dot, ax, first + ROW * index + ROW // 2))
        y = first + ROW * len(group.dots) + 6
    return _svg(label, height, parts)


def bars(label: str, rows: Sequence[tuple[str, str, float]], ax: Axis, mark: tuple[float, str]) -> Markup:
    """Horizontal bars with the name above each, and one marked reference value across all of them."""
    step, legend = 34, [("mark", mark[1])]
    top = _legend_height(legend)
    height = top + step * len(rows) + AXIS
    parts = [_legend(legend), _grid(ax, top, height - AXIS)]
    for index, (name, note, value) in enumerate(rows):
        y = top + step * index
        parts.append(_title(name, note, y + 14, y + 14))
        width = float(ax.x(value)[:-1]) - LEFT
        parts.append(
            Markup('<rect class="bar" x="{}%" y="{}" width="{:.2f}%" height="10"/>').format(LEFT, y + 19, width)
        )
    parts.append(_line(ax.x(mark[0]), ax.x(mark[0]), top, height - AXIS, "mark"))
    return _svg(label, height, parts)


def curve(label: str, series: Sequence[tuple[str, Points]], x: Axis, y: Axis, marks: bool = True) -> Markup:
    """Lines over a shared x axis, for training curves and the ROC; `marks` shows the first series' points."""
    kinds = ["guess" if name == "guessing" else f"s{i}" for i, (name, _) in enumerate(series)]
    legend = [(f"line {kind}", name) for kind, (name, _) in zip(kinds, series, strict=True)]
    plot, top = 170, _legend_height(legend) + 8
    x = replace(x, left=11.0)  # room for the labels of y
    height = top + plot + AXIS

    def at(value: float) -> float:
        return top + plot * (1 - (value - y.low) / (y.high - y.low))

    parts = [_legend(legend)]
    for tick in y.ticks:
        parts.append(_line(x.x(x.low), "100%", at(tick), at(tick), "grid"))
        parts.append(Markup('<text class="tick" x="0" y="{:.1f}">{}</text>').format(at(tick) + 4, y.text(tick)))
    parts.append(_ticks(x, height - 6))
    for index, (_, points) in enumerate(series):
        shown = _thin(points, 120)
        for (x1, y1), (x2, y2) in itertools.pairwise(shown):
            parts.append(_line(x.x(x1), x.x(x2), at(y1), at(y2), f"curve {kinds[index]}"))
        if marks and index == 0 and len(shown) <= 40:
            for x1, y1 in shown:
                parts.append(Markup('<circle class="s0" cx="{}" cy="{:.1f}" r="2.5"/>').format(x.x(x1), at(y1)))
    return _svg(label, height, parts)


def _svg(label: str, height: float, parts: Iterable[Markup]) -> Markup:
    return Markup('<svg role="img" aria-label="{}" width="100%" height="{}"><title>{}</title>{}</svg>').format(
        label, round(height), label, Markup("").join(parts)
    )


def _legend_lines(entries: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Keys in as many lines as a phone needs; each takes its name and about five characters more."""
    lines: list[list[tuple[str, str]]] = [[]]
    for entry in entries:
        if lines[-1] and sum(len(name) + 5 for _, name in [*lines[-1], entry]) > KEY_LINE:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _legend_height(entries: Sequence[tuple[str, str]]) -> int:
    return LEGEND + 16 * (len(_legend_lines(entries)) - 1) if entries else 4


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Keys as lines of text, signs included, so that they flow by the widths of whatever font there is."""
    texts = []
    for number, line in enumerate(_legend_lines(entries)):
        out = []
        for index, (kind, name) in enumerate(line):
            shape = kind.split()[0]
            out.append(
                Markup('<tspan class="{}" dx="{}">{}</tspan><tspan dx="5">{}</tspan>').format(
                    kind.split()[-1], 14 if index else 0, _SIGNS.get(shape, "\N{BLACK CIRCLE}"), name
                )
            )
        texts.append(Markup('<text class="key" x="0" y="{}">{}</text>').format(13 + 16 * number, Markup("").join(out)))
    return Markup("").join(texts)


def _marker(kind: str, hollow: bool = False) -> Markup:
    shape = {
        "reasoning": '<path class="{}" d="M0-6L6 0 0 6-6 0z"/>',
        "macro": '<path class="{}" d="M0-6L5.5 4.5H-5.5z"/>',
        "within_benchmark": '<rect class="{}" x="-4.5" y="-4.5" width="9" height="9"/>',
    }.get(kind.split()[0], '<circle class="{}" cx="0" cy="0" r="5"/>')
    return Markup(shape).format(f"{kind}{' hollow' if hollow else ''}")


def _dot(dot: Dot, ax: Axis, y: float) -> Markup:
    out = []
    if dot.low is not None and dot.high is not None:
        out.append(_line(ax.x(dot.low), ax.x(dot.high), y, y, f"range {dot.kind}"))
    if dot.other is not None:
        out.append(_line(ax.x(dot.value), ax.x(dot.other), y, y, f"link {dot.kind}"))
        out.append(_placed(ax.x(dot.other), y, _marker(dot.kind, hollow=True)))
    out.append(_placed(ax.x(dot.value), y, _marker(dot.kind)))
    return Markup("").join(out)


def _placed(x: str, y: float, shape: Markup) -> Markup:
    return Markup('<svg x="{}" y="{:.1f}" overflow="visible">{}</svg>').format(x, y, shape)


def _line(x1: str, x2: str, y1: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(kind, x1, x2, y1, y2)


def _title_height(group: Group) -> int:
    """A name and a note that are too long for one line of a phone get a line each."""
    return TITLE + (16 if len(group.title) + len(group.note) > LINE else 0)


def _title(title: str, note: str, y: float, note_y: float) -> Markup:
    if len(title) > LINE:  # the end of a path or of a model's name tells most
        title = "…" + title[-LINE:]
    return Markup('<text class="name" x="0" y="{}">{}</text><text class="note" x="100%" y="{}">{}</text>').format(
        y, title, note_y, note
    )


def _grid(ax: Axis, top: float, bottom: float, zero: bool = False) -> Markup:
    lines = [_line(ax.x(t), ax.x(t), top, bottom, "zero" if zero and abs(t) < 1e-9 else "grid") for t in ax.ticks]
    return Markup("").join([*lines, _ticks(ax, bottom + 16)])


def _ticks(ax: Axis, y: float) -> Markup:
    out = []
    for index, tick in enumerate(ax.ticks):
        anchor = "start" if index == 0 else "end" if index == len(ax.ticks) - 1 else "middle"
        x = "100%" if anchor == "end" else "0%" if anchor == "start" and ax.left == LEFT else ax.x(tick)
        out.append(Markup('<text class="tick {}" x="{}" y="{}">{}</text>').format(anchor, x, y, escape(ax.text(tick))))
    return Markup("").join(out)


def _thin(points: Points, most: int) -> list[tuple[float, float]]:
    """At most `most` points: the mean of each run of neighbours, so that a long curve stays a small drawing."""
    size = -(-len(points) // most) or 1
    runs = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(p[0] for p in run) / len(run), sum(p[1] for p in run) / len(run)) for run in runs]
