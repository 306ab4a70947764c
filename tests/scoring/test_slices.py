"""Accuracy by any column of the items: the cells are those of the items that have the value."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import InputError
from components.platform.tables import write_items, write_rows
from components.questions.items import Item
from components.stages.compare import CompareConfig, score_files

OPTIONS = {"A": "gout", "B": "scurvy"}
SYSTEMS = ("heart", "lung", None)


def files(folder: Path, n: int = 30) -> tuple[Path, list[Path]]:
    """Every third question is of the heart, of the lung, of neither; two in three are answered right."""
    items = [
        Item(f"q{k}", f"Question {k}?", OPTIONS, "A", ("medqa", "NEJM")[k % 2],
             meta={"system": SYSTEMS[k % 3], "number": k} if SYSTEMS[k % 3] else {"number": k})
        for k in range(n)
    ]  # fmt: skip
    write_items(items, folder / "items.parquet")
    rows = [
        {"item_id": i.id, "model": "m", "setting": "plain", "output": f"The answer is {'B' if k % 4 == 0 else 'A'}."}
        for k, i in enumerate(items)
    ]
    write_rows(rows, folder / "answers.parquet")
    return folder / "items.parquet", [folder / "answers.parquet"]


def test_a_cell_per_value_with_its_interval(tmp_path: Path) -> None:
    config = CompareConfig(slices=("system", "dataset_name"), draws=100)
    found = score_files(*files(tmp_path), config, tmp_path / "scores.json")["slices"]
    assert [(r["column"], r["value"], r["n"]) for r in found] == [
        ("system", "heart", 10),
        ("system", "lung", 10),
        ("dataset_name", "NEJM", 15),
        ("dataset_name", "medqa", 15),
    ]
    heart = found[0]
    assert heart["accuracy"] == pytest.approx(1 - len([k for k in range(0, 30, 3) if k % 4 == 0]) / 10)
    assert 0 < heart["ci_low"] < heart["accuracy"] < heart["ci_high"] < 1
    assert (heart["model"], heart["setting"], heart["chance"]) == ("m", "plain", 0.5)


@pytest.mark.parametrize(
    ("column", "told"),
    [("speciality", "slices: 'speciality': no item has it"), ("number", "slices: 'number' has 230 values")],
)
def test_columns_that_make_no_slices(column: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        score_files(*files(tmp_path, 230), CompareConfig(slices=(column,), draws=100), tmp_path / "scores.json")
