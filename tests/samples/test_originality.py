"""No run of eight words is shared with a question of the real data sets, beyond phrases that many of them share."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.questions.items import Item, normalise

RUN = 8
COMMON = 5  # a run found in this many different stems is common language, not one question's wording


def runs(text: str) -> set[str]:
    """All runs of eight words of a text, folded."""
    words = normalise(text).split()
    return {" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}


def item_runs(item: Item) -> set[str]:
    return set().union(*(runs(text) for text in (item.question, item.context or "", *item.options.values())))


def copied(items: Iterable[Item], real: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Runs of our items that are in real questions (stem, context, options), less common ones: run to our ids."""
    ours: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        for run in item_runs(item):
            ours[run].add(item.id)
    stems: defaultdict[str, set[str]] = defaultdict(set)
    for row in real:
        options = row["options"].values() if isinstance(row["options"], Mapping) else []
        for text in (row["question"], row.get("context") or "", *map(str, options)):
            for run in runs(text) & ours.keys():
                stems[run].add(normalise(row["question"]))
    return {run: ours[run] for run, found in stems.items() if len(found) < COMMON}


def test_no_question_is_copied_from_real_data(questions: list[Item], training: list[Item]) -> None:
    folder = os.environ.get("BIOMED_R1_DATA")
    if not folder:
        pytest.skip("BIOMED_R1_DATA is not set: no real questions to compare with")
    files = [path for part in ("benchmarks", "train", "labels") for path in sorted(Path(folder, part).glob("*.jsonl"))]
    assert files, f"{folder}: no questions"
    rows = (row for path in files for row in map(json.loads, path.open()) if row.get("question") and row.get("options"))
    assert copied([*questions, *training], rows) == {}


def test_the_check_sees_a_copied_sentence() -> None:
    ours = Item("x", "A farmer has lost all feeling in both of his feet.", {"A": "zinc", "B": "iron"}, "A", "made")
    real = {"question": "He has lost all feeling in both of his feet since May.", "options": {"A": "one"}}
    shared = {"has lost all feeling in both of his", "lost all feeling in both of his feet"}
    assert copied([ours], [real]) == {run: {"x"} for run in shared}
    others = [{**real, "question": f"{n} {real['question']}"} for n in range(COMMON)]
    assert copied([ours], others) == {}
