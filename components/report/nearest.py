"""A page of the questions nearest the threshold, for a human to judge: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.questions.items import Item

_TEMPLATES = Path(__file__).with_name("templates")


def nearest_page(items: Mapping[str, Sequence[Item]], threshold: float) -> str:
    """HTML for {benchmark: items, nearest first}; everything printed is escaped, nothing is loaded."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("nearest.html.j2").render(items=items, threshold=threshold)
