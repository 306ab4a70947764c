"""Rows from text files: JSONL, JSON, CSV and TSV, each plain or gzipped, with or without a byte order mark.

Errors name the file and the row; rows count from 1, blank lines and a table's header do not count.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from components.errors import InputError
from components.questions.shapes import has_question

# By a file's ending; `.gz` may follow each.
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
# One cell may hold a whole abstract; csv's own limit is 131,072 characters.
MAX_CELL_CHARACTERS = 2**31 - 1
_LISTS = frozenset({"data", "questions", "rows", "items", "examples", "records"})
_DEPTH = 4  # lists lie at most so deep in an object; HEAD-QA's are at 3


def format_of(path: str | Path) -> str | None:
    """The format that a file's name tells: a value of FORMATS, None where it tells none."""
    name = Path(path).name.lower().removesuffix(".gz")
    return next((kind for ending, kind in FORMATS.items() if name.endswith(ending)), None)


def plain_name(path: str | Path) -> str:
    """A file's name without the endings that say how it is written: `set.v2.csv.gz` is `set.v2`."""
    name = Path(path).name
    for ending in (".gz", *FORMATS):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name or Path(path).name


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where it is gzip by its content; raises InputError for a damaged archive."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if packed:
                with gzip.open(file) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged gzip file ({error}); fetch or write it again") from None


def text_rows(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The rows of a file whose format is `kind`; raises InputError at the first that cannot be read."""
    with opened(path) as file:
        if kind in ("csv", "tsv"):
            yield from _table_rows(path, file, "\t" if kind == "tsv" else None)
        elif kind == "json":
            yield from _json_rows(path, file.read())
        else:
            yield from _jsonl_rows(path, file)


def _jsonl_rows(path: Path, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    number = 0
    for line, raw in enumerate(lines):
        if line == 0:
            raw = _without_mark(path, raw)
        if not raw.strip():
            continue
        number += 1
        where = f"{path}: row {number}"
        yield _row(_loads(raw, where, "a JSON object on one line"), where, _has_halves(raw))


def _json_rows(path: Path, raw: bytes) -> Iterator[dict[str, Any]]:
    """A list of objects, or what `listed` finds in an object. JSON lines are read under this ending too."""
    raw = _without_mark(path, raw)
    try:
        value = _loads(raw, str(path), "JSON")
    except InputError:
        first = next((line for line in raw.splitlines() if line.strip()), b"")
        if not first.lstrip().startswith(b"{"):
            raise
        yield from _jsonl_rows(path, io.BytesIO(raw))  # its errors name the row
        return
    halves = _has_halves(raw)
    for number, row in enumerate(listed(value, str(path)), start=1):
        yield _row(row, f"{path}: row {number}", halves)


def listed(value: Any, where: str, depth: int = 0) -> list[Any]:
    """The rows in a JSON value: a list; one row; an object with one list of objects (`data`, `questions`), nested as in
    HEAD-QA's exams; or an object of rows whose names become `id` (PubMedQA). Raises InputError for several lists.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be a list of JSON objects, not {type(value).__name__}")
    lists = [name for name, part in value.items() if _objects(part)]
    named = [name for name in lists if name.casefold() in _LISTS]  # a `prompt` may stand beside
    if (has_question(value) and not named) or depth == _DEPTH:
        return [value]
    lists = named or lists
    if len(lists) > 1:
        raise InputError(f"{where}: holds several lists ({', '.join(lists)}); write each to a file of its own")
    if lists:
        return list(value[lists[0]])
    parts = {name: part for name, part in value.items() if isinstance(part, dict)}
    if len(parts) == 1 and len(value) > 1:
        return listed(next(iter(parts.values())), where, depth + 1)
    if not parts or len(parts) < len(value):
        return [value]
    rows: list[Any] = []
    for name, part in parts.items():
        rows += [{"id": name, **part}] if has_question(part) else listed(part, where, depth + 1)
    return rows


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) for part in value)


def _table_rows(path: Path, file: IO[bytes], delimiter: str | None) -> Iterator[dict[str, Any]]:
    """Rows of CSV as text, null for an empty cell. Without `delimiter`: what the header uses, a comma if it has one."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    number = 0
    try:
        first = text.readline()
        delimiter = delimiter or next((sign for sign in ",;\t" if sign in first), ",")
        cells = csv.reader(itertools.chain([first], text), delimiter=delimiter, strict=True)
        header = [name.strip() for name in next(cells, [])]
        _check_header(path, header)
        for row in cells:
            if not any(cell.strip() for cell in row):
                continue
            number += 1
            if len(row) != len(header):
                raise InputError(
                    f"{path}: row {number}: has {len(row)} cells where the header has {len(header)}; "
                    f"quote a cell that holds {delimiter!r} or a line's end"
                )
            # pandas writes its index under no name.
            yield {name: cell if cell.strip() else None for name, cell in zip(header, row, strict=True) if name}
    except UnicodeDecodeError as error:
        where = f"{path}: after row {number}"
        raise InputError(f"{where}: not UTF-8 text ({error.reason}); save the file as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{path}: row {number + 1}: not readable as a table ({error}); quote its cells") from None
    finally:
        text.detach()


def _check_header(path: Path, header: list[str]) -> None:
    named = [name for name in header if name]
    if not named:
        raise InputError(f"{path}: no header; the first line names the columns")
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise InputError(f"{path}: header: {twice!r} is the name of two columns; rename one")


def _without_mark(path: Path, raw: bytes) -> bytes:
    _check_mark(path, raw)
    return raw.removeprefix(b"\xef\xbb\xbf")


def _check_mark(path: Path, raw: bytes) -> None:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: row 1: UTF-16, not UTF-8 text; save the file as UTF-8")


def _loads(raw: bytes, where: str, wanted: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except ValueError as error:  # a number of more than 4,300 digits too
        raise InputError(f"{where}: not {wanted} ({error})") from None
    except RecursionError:
        raise InputError(f"{where}: not {wanted} that can be read: brackets without end") from None


def _has_halves(raw: bytes) -> bool:
    """Whether JSON may hold the escape of half a character pair, for which each row is then searched."""
    return b"\\ud" in raw.lower()


def _row(value: Any, where: str, halves: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be a JSON object, not {type(value).__name__}")
    if halves:
        _whole_characters(value, where)
    return value


def _whole_characters(row: dict[str, Any], where: str) -> None:
    """Raise InputError for half of a character pair, which JSON can escape and no file or tokenizer can hold."""
    for name, value in row.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start].encode("unicode_escape").decode()
            raise InputError(f"{where}: {name!a}: holds half of a character ({half}); write the whole one") from None
