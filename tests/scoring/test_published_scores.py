"""The published answers of eleven models, worded in twelve ways, score to exactly their known accuracies."""

from __future__ import annotations

import hashlib
import json
import runpy
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from components.questions.items import Item, group_of
from components.scoring.cells import score
from components.scoring.outcomes import grade, item_table

PUBLISHED = runpy.run_path(str(Path(__file__).parents[1] / "bench" / "published.py"))
DATA = PUBLISHED["data_folder"]()
needs_data = pytest.mark.skipif(DATA is None, reason="BIOMED_R1_DATA is not set: it names the folder of real data")

PHRASINGS = (
    "The answer is {letter}.",
    "{letter}",
    "Let me think. A patient like this needs care.\n\n**Answer:** {letter}",
    "Therefore $\\boxed{{\\text{{{letter}}}}}$",
    "<think>The answer is {other}, or is it?</think>\nThe correct answer is ({letter}).",
    '{{"reason": "as taught", "answer": "{letter}"}}',
    "<answer>{letter}</answer>",
    "I would choose option {letter}, because it fits.",
    "The answer is {other}. Wait, actually, the answer is {letter}.",
    "({letter}) is the correct answer. {other} is incorrect.",
    "It is not {other}. The answer is {letter}: {text}",
    "After weighing everything:\n{letter}. {text}",
)


def _phrase(items: dict[str, Item]):
    def phrase(item_id: str, letter: str) -> str:
        item = items[item_id]
        other = next(o for o in item.options if o != letter)
        form = PHRASINGS[int(hashlib.sha256(item_id.encode()).hexdigest(), 16) % len(PHRASINGS)]
        return form.format(letter=letter, other=other, text=item.options.get(letter, "something else"))

    return phrase


@needs_data
def test_published_answers_score_to_their_known_accuracies() -> None:
    items = PUBLISHED["answered_items"](DATA)
    by_id = {item.id: item for item in items}
    rows = PUBLISHED["answer_rows"](DATA, _phrase(by_id))
    known: dict[tuple[str, str], list[bool]] = defaultdict(list)
    copies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item_id, model, letter in PUBLISHED["published_letters"](DATA):
        item = by_id[item_id]
        known[model, item.dataset_name].append(letter == item.answer_idx)
        known[model, "all"].append(letter == item.answer_idx)
        copies[model, item.dataset_name].append(group_of(item))
        copies[model, "all"].append(item.dataset_name + group_of(item))
    record = score(item_table(items), grade(items, rows), draws=100)
    cells = {(c["model"], c["benchmark"]): c for c in record["cells"] if c["benchmark"] != "macro"}
    assert len({model for model, _ in known}) == 11
    for key, right in known.items():
        assert (cells[key]["n"], cells[key]["correct"]) == (len(right), sum(right)), key
        weights = [1 / n for n in map(Counter(copies[key]).__getitem__, copies[key])]
        assert cells[key]["accuracy"] == pytest.approx(np.average(right, weights=weights))
    # QwQ-32B answered part of the items, and one answer of claude-3-5-sonnet is missing: not asked, not wrong.
    assert cells["QwQ-32B", "all"]["not_asked"] == len(items) - len(known["QwQ-32B", "all"]) > 5000
    assert cells["claude-3-5-sonnet", "medmcqa"]["not_asked"] == 1


@needs_data
def test_published_letters_agree_with_the_benchmarks() -> None:
    """The prediction files repeat each key: a set that was shuffled since would show here."""
    keys = {}
    for path in sorted((DATA / "predictions").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            keys[row["id"]] = row["answer_idx"]
    items = {item.id: item for item in PUBLISHED["answered_items"](DATA)}
    assert all(items[item_id].answer_idx == letter for item_id, letter in keys.items())


@needs_data
def test_gaps_of_published_models_differ_pooled_and_within(capsys: pytest.CaptureFixture[str]) -> None:
    assert PUBLISHED["main"](["--draws", "200"]) == 0
    page = capsys.readouterr().out
    raw = page.split("## Raw gaps")[1].split("## Over guessing")[0]
    lines = [line for line in raw.splitlines() if line.startswith("| ")]
    assert len(lines) == 11  # a heading and ten models
    assert sum(line.startswith("| DeepSeek-V3 |") for line in page.splitlines()) == 4
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in lines[1:]]
    pooled, within = ([float(row[k].split()[0]) for row in cells] for k in (4, 5))
    assert min(pooled) > 10 and max(within) < 6 and min(within) > -6
