"""The questions that went worst, for a human to read: lost by a candidate, or lost under a wrong opening."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.qa.items import Item, group_of

Rows = Mapping[tuple[str, str], Mapping[str, Any]]  # (model, setting) -> the answer


@dataclass(frozen=True)
class Regression:
    """An item, how many settings were lost, and two outputs to show: who wrote them, and the opening of the second."""

    item: Item
    lost: int
    asked: int
    who: tuple[str, str]
    before: str
    after: str
    opening: str = ""


def worst_regressions(
    items: Iterable[Item], answers: Iterable[Mapping[str, Any]], baseline: str, candidate: str, most: int
) -> list[Regression]:
    """At most `most` items, one per question group, ordered by settings lost, then by reasoning probability.

    A setting is lost where the baseline was right and the candidate wrong. Only answers that carry `correct` count.
    """
    by_item = _by_item(answers, (baseline, candidate))
    found = [r for item in items if (r := _regression(item, by_item.get(item.id, {}), baseline, candidate))]
    return _worst(found, most)


def worst_falls(items: Iterable[Item], answers: Iterable[Mapping[str, Any]], model: str, most: int) -> list[Regression]:
    """The same for one model alone: right when asked plainly, wrong after as many wrong openings as possible."""
    by_item = _by_item(answers, (model,))
    found = []
    for item in items:
        rows = by_item.get(item.id, {})
        openings = sorted(s for _, s in rows if s != "plain")
        lost = [s for s in openings if not rows[model, s]["correct"]]
        if not lost or not rows.get((model, "plain"), {}).get("correct"):
            continue
        who = (f"{model}, plain", f"{model}, {_words(lost[0])}")
        before, after = rows[model, "plain"], rows[model, lost[0]]
        found.append(Regression(item, len(lost), len(openings), who, _output(before), _output(after), _opening(after)))
    return _worst(found, most)


def _by_item(answers: Iterable[Mapping[str, Any]], models: Sequence[str]) -> dict[str, dict[tuple[str, str], Any]]:
    found: dict[str, dict[tuple[str, str], Any]] = defaultdict(dict)
    for row in answers:
        if row.get("model") in models and isinstance(row.get("correct"), bool):
            found[row["item_id"]][row["model"], row["setting"]] = row
    return found


def _worst(found: list[Regression], most: int) -> list[Regression]:
    found.sort(key=lambda r: (-r.lost, -(r.item.reasoning_prob or 0.0), r.item.id))
    kept: dict[str, Regression] = {}
    for regression in found:
        kept.setdefault(group_of(regression.item), regression)
    return list(kept.values())[:most]


def _regression(item: Item, rows: Rows, baseline: str, candidate: str) -> Regression | None:
    shared = sorted((s for m, s in rows if m == baseline and (candidate, s) in rows), key=_plain_first)
    lost = [s for s in shared if rows[baseline, s]["correct"] and not rows[candidate, s]["correct"]]
    won = [s for s in shared if rows[candidate, s]["correct"] and not rows[baseline, s]["correct"]]
    if len(lost) <= len(won):
        return None
    before, after = rows[baseline, lost[0]], rows[candidate, lost[0]]
    who = (f"{baseline}, {_words(lost[0])}", f"{candidate}, {_words(lost[0])}")
    return Regression(item, len(lost), len(shared), who, _output(before), _output(after), _opening(after))


def shorten(text: str, most: int) -> str:
    """`text` cut at a word, with a sign that it was cut."""
    if len(text) <= most:
        return text
    beginning = text[:most]
    return (re.sub(r"\S+$", "", beginning).rstrip() or beginning.rstrip()) + " […]"


def titles(found: Sequence[Regression], unit: str = "settings") -> list[str]:
    return [f"{r.item.dataset_name}, {r.item.id}: {r.lost} of {r.asked} {unit} lost" for r in found]


def _plain_first(setting: str) -> tuple[bool, str]:
    return setting != "plain", setting


def _words(setting: str) -> str:
    """`adversarial_0` is the first of three openings to a reader."""
    _, _, number = setting.partition("_")
    return f"after wrong opening {int(number) + 1}" if number.isdigit() else setting


def _output(row: Mapping[str, Any]) -> str:
    output = str(row.get("output") or "").strip()
    return output or "(nothing was written)"


def _opening(row: Mapping[str, Any]) -> str:
    return str(row.get("prefill") or "").strip()
