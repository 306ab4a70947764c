"""Tables: rubbish in a file is named by file, row and field, not met later as a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import DamagedError, InputError
from components.platform.formats.parquet import count_rows
from components.platform.storage import objects
from components.platform.tables import read_rows, write_rows


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("value", ["a cut emoji \ud83d", ["fine", "\udc00"], {"A": "\ud83d then more"}])
def test_half_of_a_character_is_refused_where_it_stands(tmp_path: Path, value: Any) -> None:
    path = lines(tmp_path / "x.jsonl", {"question": "fine"}, {"id": "q", "options": value})
    with pytest.raises(InputError, match=r"x\.jsonl: row 2: 'options': holds half of a character \(\\ud"):
        read_rows(path)


@given(st.text())
def test_whole_characters_come_back_from_escapes_and_from_parquet(tmp_path_factory: Any, text: str) -> None:
    folder = tmp_path_factory.mktemp("t")
    assert read_rows(lines(folder / "x.jsonl", {"t": text})) == [{"t": text}]
    write_rows([{"t": text}], folder / "x.parquet")
    assert read_rows(folder / "x.parquet") == [{"t": text}]


def test_rows_are_counted_from_the_end_of_a_file(tmp_path: Path, store_uri: str) -> None:
    """Of a stored one too, and of one whose footer is longer than what is read first."""
    few, wide = tmp_path / "few.parquet", tmp_path / "wide.parquet"
    write_rows([{"id": str(n)} for n in range(7)], few)
    write_rows([{f"column {n}": "x" for n in range(1500)}], wide)
    for path, rows in ((few, 7), (wide, 1)):
        objects.put_file(path, f"{store_uri}/{path.name}")
        assert count_rows(str(path)) == count_rows(f"{store_uri}/{path.name}") == rows
    assert wide.stat().st_size > 2 << 16
    assert count_rows("x.jsonl") is None
    with pytest.raises(DamagedError, match=r"gone\.parquet: no such object"):
        count_rows(f"{store_uri}/gone.parquet")
