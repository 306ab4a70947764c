"""From drawn questions to a gap by their labels: the sheet, what is refused in it, and the estimate it gives."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from components.errors import InputError
from components.platform.tables import read_items, write_items
from components.questions.items import LABEL_PROBABILITY, Item
from components.scoring.cells import score
from components.scoring.outcomes import grade, item_table
from components.stages.label_sample import DESIGN, SHEET, LabelSampleConfig, agreement, apply, draw

N = 1200
RNG = np.random.default_rng(1)
TRUTH = RNG.random(N) < 0.35
PROB = np.clip(np.where(TRUTH, RNG.beta(3, 3, N), RNG.beta(2, 6, N)), 0.01, 0.99)


def questions() -> list[Item]:
    options = {letter: f"choice {letter}" for letter in "ABCD"}
    return [
        Item(f"q{n}", f"Question {n}?", options, "ABCD"[n % 4], ("medqa", "NEJM")[n % 4 == 0], reasoning_prob=float(p),
             is_reasoning=bool(p >= 0.5))
        for n, p in enumerate(PROB)
    ]  # fmt: skip


def label(item_id: str) -> str:
    return "Reasoning" if TRUTH[int(item_id[1:])] else "Understanding"


def fill(path: Path, change: Callable[[list[dict[str, str]]], object] = lambda rows: None) -> Path:
    """The sheet as two people who agree with the truth would return it, but for `change`."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label_1"] = row["label_2"] = label(row["id"])
    change(rows)
    filled = path.with_name("filled.csv")
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return filled


@pytest.fixture()
def drawn(tmp_path: Path) -> Path:
    write_items(questions(), tmp_path / "items.parquet")
    evidence = draw(tmp_path / "items.parquet", LabelSampleConfig(size=400), tmp_path)
    assert evidence["drawn"] == 400 == sum(evidence["benchmarks"].values()) and evidence["of"] == N
    return tmp_path


def test_the_sheet_tells_neither_key_nor_probability(drawn: Path) -> None:
    with (drawn / SHEET).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"id", "benchmark", "context", "question", "options", "label_1", "label_2", "label"}
    by_id = {item.id: item for item in questions()}
    assert all(row["question"] == by_id[row["id"]].question for row in rows)
    order = [int(row["id"][1:]) for row in rows]
    assert abs(np.corrcoef(PROB[order], np.arange(400))[0, 1]) < 0.15, "the order gives nothing away"


def test_labels_of_a_sample_give_the_gap(drawn: Path) -> None:
    def disagree(rows: list[dict[str, str]]) -> None:
        for row in rows[:40]:
            row["label"] = row["label_1"]
            row["label_2"] = "Understanding" if row["label_1"] == "Reasoning" else "Reasoning"

    evidence = apply(drawn / "items.parquet", drawn / DESIGN, fill(drawn / SHEET, disagree), drawn / "out.parquet")
    assert (evidence["labelled"], evidence["differ"]) == (400, 40)
    assert 0.5 < evidence["kappa_low"] < evidence["kappa"] < evidence["kappa_high"] < 1
    items = read_items(drawn / "out.parquet")
    assert sum(item.question_type is not None for item in items) == 400
    assert all(0 < item.meta[LABEL_PROBABILITY] <= 1 for item in items)
    right = np.random.default_rng(2).random(N) < np.where(TRUTH, 0.4, 0.7)
    rows = [
        ("row", {"item_id": i.id, "model": "m", "setting": "plain", "output": f"The answer is {key}."})
        for i, ok in zip(items, right, strict=True)
        for key in [i.answer_idx if ok else "ABCD"["ABCD".index(i.answer_idx) - 1]]
    ]
    record = score(item_table(items), grade(items, rows), draws=200)
    raw = [g for g in record["gaps"] if (g["benchmark"], g["adjustment"]) == ("all", "none")]
    gaps = {(g["weighting"], g["kind"]): g for g in raw}
    assert not any(g["weighting"] == "expert" for g in raw), "a drawn sample is no census"
    truth = right[~TRUTH].mean() - right[TRUTH].mean()
    dsl, hard = gaps["dsl", "pooled"], gaps["hard", "pooled"]
    assert dsl["ci_low"] < truth < dsl["ci_high"] and dsl["ci_high"] - dsl["ci_low"] < 0.25
    assert hard["estimate"] < 0.7 * truth and dsl["estimate"] == pytest.approx(truth, abs=0.08)
    assert ("dsl", "within_benchmark") in gaps


@pytest.mark.parametrize(("n", "error"), [(20, 0.05), (100, 0.01), (450, 0.01), (450, 0.15)])
def test_the_interval_of_kappa_covers_it(n: int, error: float) -> None:
    """A bootstrap held it in 29 to 89 % of the samples in which two people nearly always agree."""
    rng = np.random.default_rng(n)
    truth = rng.random(400_000) < 0.3
    aim = cohen_kappa_score(*(truth ^ (rng.random(400_000) < error) for _ in range(2)))
    hits = 0
    for _ in range(300):
        own = rng.random(n) < 0.3
        found = agreement(*(own ^ (rng.random(n) < error) for _ in range(2)))
        hits += found["kappa"] is not None and found["kappa_low"] <= aim <= found["kappa_high"]
    assert hits / 300 >= 0.92
    agreed = agreement(own, own)
    assert agreed["kappa"] == 1 and agreed["kappa_low"] < 0.99


def test_kappa_is_scikit_learns() -> None:
    first, second = (np.random.default_rng(seed).random(200) < 0.4 for seed in (3, 4))
    found = agreement(first, first ^ (second & (np.arange(200) % 4 == 0)))
    other = first ^ (second & (np.arange(200) % 4 == 0))
    assert found["kappa"] == pytest.approx(cohen_kappa_score(first, other))
    assert agreement(np.ones(9, dtype=bool), np.ones(9, dtype=bool))["kappa"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop(), "its row is missing"),
        (lambda rows: rows.append(rows[0]), "row 402: id: 'q.*': a second row"),
        (lambda rows: rows[3].update(id="q9999"), "row 5: id: 'q9999': not an item that was drawn"),
        (lambda rows: rows[2].update(label_2="maybe"), "row 4: label_2: 'maybe' is neither Reasoning nor"),
        (lambda rows: rows[2].update(label_1=""), "row 4: label_1: '' is neither"),
        (
            lambda rows: rows[2].update(label_1="Reasoning", label_2="Understanding"),
            r"label: empty where label_1 and label_2 differ \(1 such rows\)",
        ),
    ],
)
def test_a_bad_sheet_is_refused(drawn: Path, change: Callable[[list[dict[str, str]]], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(drawn / "items.parquet", drawn / DESIGN, fill(drawn / SHEET, change), drawn / "out.parquet")


def test_other_items_are_refused(drawn: Path) -> None:
    write_items([questions()[0].with_(question="Another?"), *questions()[1:]], drawn / "other.parquet")
    with pytest.raises(InputError, match="other questions than"):
        apply(drawn / "other.parquet", drawn / DESIGN, fill(drawn / SHEET), drawn / "out.parquet")
    design = json.loads((drawn / DESIGN).read_text(encoding="utf-8"))
    (drawn / DESIGN).write_text(json.dumps({**design, "schema_version": 2}), encoding="utf-8")
    with pytest.raises(InputError, match="schema_version: 2"):
        apply(drawn / "items.parquet", drawn / DESIGN, fill(drawn / SHEET), drawn / "out.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (DESIGN, None, "label-design.json: cannot be read"),
        (DESIGN, b"[1", "label-design.json: cannot be read"),
        (DESIGN, b"[]", "schema_version: None"),
        (DESIGN, b'{"schema_version": 1}', "drawn: missing"),
        (SHEET, None, "label-sheet.csv: cannot be read"),
        (SHEET, b"id,label_1\n\xff\xfe", "label-sheet.csv: cannot be read"),
    ],
)
def test_files_of_the_draw_that_are_gone_or_broken(drawn: Path, name: str, content: bytes | None, message: str) -> None:
    (drawn / name).write_bytes(content) if content is not None else (drawn / name).unlink()
    with pytest.raises(InputError, match=message):
        apply(drawn / "items.parquet", drawn / DESIGN, drawn / SHEET, drawn / "out.parquet")
