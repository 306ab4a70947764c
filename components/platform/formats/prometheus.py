"""Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Name, labels, value.
Sample = tuple[str, Mapping[str, str], float]


def text(found: Iterable[Sample], about: Mapping[str, str]) -> str:
    """Gauges: each name's HELP (from `about`) and TYPE once, its samples together."""
    lines: dict[str, list[str]] = {}
    for name, labels, value in found:
        inner = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        lines.setdefault(name, [f"# HELP {name} {about[name]}", f"# TYPE {name} gauge"])
        lines[name].append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")
    return "".join(f"{line}\n" for group in lines.values() for line in group)


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
