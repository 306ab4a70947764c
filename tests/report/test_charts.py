"""The hand-drawn figures: axes that cover their values, positions inside the drawing, escaped labels."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from components.report.charts import LEFT, RIGHT, Dot, Group, axis, bars, curve, dots

NUMBERS = st.floats(-1e6, 1e6).map(lambda v: round(v, 6))


def plain(value: float) -> str:
    return f"{value:g}"


@given(st.lists(NUMBERS, max_size=20))
def test_an_axis_covers_its_values_with_few_round_ticks(values: list[float]) -> None:
    ax = axis(values, plain)
    assert ax.low < ax.high and 2 <= len(ax.ticks) <= 12 and list(ax.ticks) == sorted(ax.ticks)
    slack = 1e-6 * (ax.high - ax.low)
    assert all(ax.low - slack <= v <= ax.high + slack for v in values)
    assert all(LEFT - 0.01 <= float(ax.x(v)[:-1]) <= RIGHT + 0.01 for v in values)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=300))
def test_a_curve_stays_small_and_inside(points: list[tuple[float, float]]) -> None:
    ax = axis([0.0, 1.0], plain)
    text = str(curve("label", [("a", points)], ax, ax))
    assert text.count("<line") <= 120 + len(ax.ticks)
    assert all(0 <= float(v) <= 100 for v in re.findall(r' (?:x1|x2|cx)="([-\d.]+)%"', text))


def test_positions_are_those_of_the_values() -> None:
    ax = axis([0.0, 1.0], plain)
    text = str(dots("label", [Group("m", "note", (Dot("knowledge", 0.5, 0.25, 0.75),))], ax, []))
    middle, low, high = (f"{LEFT + (RIGHT - LEFT) * v:.2f}%" for v in (0.5, 0.25, 0.75))
    assert f'x="{middle}"' in text and f'x1="{low}" x2="{high}"' in text


def test_names_are_escaped() -> None:
    ax = axis([0.0, 1.0], plain)
    for drawing in (
        dots('"<b>', [Group("<b>", "<i>", (Dot("all", 0.5),))], ax, [("all", "<u>")]),
        bars('"<b>', [("<b>", "<i>", 0.5)], ax, (0.3, "<u>")),
        curve('"<b>', [("<u>", [(0.0, 0.0), (1.0, 1.0)])], ax, ax),
    ):
        assert not re.search(r"<[biu]>", str(drawing)) and 'aria-label="&#34;&lt;b&gt;"' in str(drawing)


def test_long_legends_and_names_take_more_lines() -> None:
    ax = axis([0.0, 1.0], plain)
    line = [(0.0, 0.0), (1.0, 1.0)]
    short = str(curve("label", [("a", line), ("b", line)], ax, ax))
    long = str(
        curve(
            "label", [("a rather long name", line), ("another long name", line), ("a third name of it", line)], ax, ax
        )
    )
    assert short.count('class="key"') == 1 and long.count('class="key"') == 2
    rows = (Dot("all", 0.5),)
    heights = [
        int(re.search(r'height="(\d+)"', str(dots("label", [Group(name, "a note of some length", rows)], ax, [])))[1])  # type: ignore[index]
        for name in ("m", "a model with a name that leaves no room")
    ]
    assert heights[1] > heights[0]
    assert "…" in str(dots("label", [Group("x" * 80, "", rows)], ax, []))
