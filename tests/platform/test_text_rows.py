"""Text files of rows: one set is the same rows in every format, and damage is named by file and row."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import InputError
from components.platform.formats.text_rows import FORMATS, listed, plain_name
from components.platform.tables import read_rows, write_rows

Rows = list[dict[str, Any]]
BOM = b"\xef\xbb\xbf"


def table(rows: Rows, delimiter: str = ",", end: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def lines(rows: Rows, end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


WRITTEN: dict[str, tuple[str, Callable[[Rows], bytes]]] = {
    "jsonl": ("x.jsonl", lines),
    "jsonl, BOM and CRLF": ("x.jsonl", lambda rows: BOM + lines(rows, "\r\n")),
    "no suffix": ("x", lines),
    "json": ("x.json", lambda rows: json.dumps(rows, indent=2).encode()),
    "json, BOM": ("x.json", lambda rows: BOM + json.dumps(rows).encode()),
    "json with a list": ("x.JSON", lambda rows: json.dumps({"version": "1", "data": rows}).encode()),
    "json lines": ("x.json", lines),
    "csv": ("x.csv", table),
    "csv, BOM and CRLF": ("x.csv", lambda rows: BOM + table(rows, end="\r\n")),
    "csv of Excel in Europe": ("x.v2.CSV", lambda rows: table(rows, ";")),
    "tsv": ("x.tsv", lambda rows: table(rows, "\t")),
    "parquet": ("x.parquet", parquet),
}
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=8).map(lambda t: f"w{t}")


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"question": TEXT, "a, b": TEXT}), min_size=1, max_size=4))
def test_every_format_gives_the_same_rows(rows: Rows, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("t")
    for name, write in WRITTEN.values():
        if name.endswith("CSV"):  # a comma in the header says what separates
            rows = [{n.replace(",", ""): text for n, text in row.items()} for row in rows]
        for packed in (False, True):
            path = folder / (name + (".gz" if packed else ""))
            path.write_bytes(gzip.compress(write(rows)) if packed else write(rows))
            assert read_rows(path) == rows, path


def test_empty_cells_and_an_index_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(',a,b\n0,1,\n\n1," ",""\n')
    assert read_rows(tmp_path / "x.csv") == [{"a": "1", "b": None}, {"a": None, "b": None}]


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("x.csv", b"a,b\n1,2\n1,2,3\n", r"x\.csv: row 2: has 3 cells where the header has 2; quote a cell"),
        ("x.csv", b'a,b\n1,2\n1,"2\n', r"x\.csv: row 2: not readable as a table"),
        ("x.csv", b"a,a\n1,2\n", r"x\.csv: header: 'a' is the name of two columns"),
        ("x.csv", b"", r"x\.csv: no header"),
        ("x.csv", b"a,b\n1,\xff\n", r"x\.csv: after row 0: not UTF-8"),
        ("x.csv", "a,b\n1,2\n".encode("utf-16"), r"x\.csv: .*UTF-"),
        ("x.jsonl", '{"a": 1}\n'.encode("utf-16"), r"x\.jsonl: row 1: UTF-16, not UTF-8 text"),
        ("x.jsonl", b'{"a": 1}\n{"a": ' + b"1" * 5000 + b"}", r"x\.jsonl: row 2: not a JSON object"),
        ("x.jsonl", b"[" * 100_000, r"x\.jsonl: row 1: .*brackets without end"),
        ("x.jsonl", b"[1]", r"x\.jsonl: row 1: must be a JSON object, not list"),
        ("x.json", b"7", r"x\.json: must be a list of JSON objects, not int"),
        ("x.json", b"[1]", r"x\.json: row 1: must be a JSON object, not int"),
        ("x.json", b'[{"a": "\\ud83d"}]', r"x\.json: row 1: 'a': holds half of a character"),
        ("x.json", b'{"train": [{"a": 1}], "test": [{"a": 1}]}', r"x\.json: holds several lists \(train, test\)"),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 9000, mtime=0)[:-9], r"x\.jsonl\.gz: damaged gzip file"),
        ("x.parquet.gz", gzip.compress(b"PAR1", mtime=0), r"x\.parquet\.gz: not a readable Parquet file"),
    ],
)
def test_damage_is_named(name: str, body: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(InputError, match=told):
        read_rows(tmp_path / name)


@settings(max_examples=150, deadline=None)
@given(ending=st.sampled_from([*FORMATS, ".csv.gz", ".jsonl.gz"]), body=st.binary(max_size=60), packed=st.booleans())
def test_no_bytes_are_a_traceback(ending: str, body: bytes, packed: bool, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("t") / f"x{ending}"
    path.write_bytes(gzip.compress(body)[: len(body) + 12] if packed else body)
    try:
        assert isinstance(read_rows(path), list)
    except InputError as error:
        assert path.name in str(error)


def test_where_the_rows_of_a_json_object_are() -> None:
    row = {"question": "Which?", "options": [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}]}
    assert listed(row, "f") == [row]
    assert listed({"prompt": "Answer these.", "questions": [row]}, "f") == [row]
    assert listed({"7": row, "8": row}, "f") == [{"id": "7", **row}, {"id": "8", **row}]
    exam = {"name": "2013", "data": [{"qtext": "Which?", "answers": [{"aid": 1, "atext": "x"}]}]}
    assert listed({"version": "1", "exams": {"a": exam, "b": exam}}, "f") == exam["data"] * 2


def test_names_without_their_endings() -> None:
    assert [plain_name(n) for n in ("d/x.csv.gz", "x.v2.jsonl", "x", ".csv")] == ["x", "x.v2", "x", ".csv"]


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.parquet.gz"])
def test_what_is_not_written_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.parquet or \.jsonl"):
        write_rows([{"a": 1}], tmp_path / name)
