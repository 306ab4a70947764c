"""Question and answer tables on disk: Parquet or JSONL in, the same out. The only user of pyarrow."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import InputError
from components.questions.items import COLUMNS, Item, item_row, parse_item

_FLOATS = {"reasoning_prob", "reasoning_threshold"}
_ITEM_SCHEMA = pa.schema(
    [
        (name, pa.float64() if name in _FLOATS else pa.bool_() if name == "is_reasoning" else pa.string())
        for name in COLUMNS
    ]
)


def read_items(path: str | Path) -> list[Item]:
    """Every item of a file; raises InputError (file, row, field) at the first defect or repeated id."""
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(iterate_rows(path), start=1):
        item = parse_item(row, f"{path}: row {number}")
        if item.id in seen:
            raise InputError(f"{path}: row {number}: id: {item.id!r} is already the id of row {seen[item.id]}")
        seen[item.id] = number
        items.append(item)
    if not items:
        raise InputError(f"{path}: no rows; a set needs at least one question")
    return items


def write_items(
    items: Sequence[Item],
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    columns: Sequence[str] = COLUMNS,
) -> None:
    """Items as Parquet (or JSONL, by suffix), with `columns` alone where given; null columns keep their type."""
    schema = pa.schema([_ITEM_SCHEMA.field(name) for name in columns])
    rows = [{name: row[name] for name in columns} for row in map(item_row, items)]
    _write(rows, Path(path), schema, metadata)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    return list(iterate_rows(path))


def write_rows(rows: Sequence[Mapping[str, Any]], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Plain rows as Parquet or JSONL; `metadata` travels in the Parquet file's schema."""
    _write([dict(row) for row in rows], Path(path), None, metadata)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text metadata written with a Parquet file; of JSONL, what its side file (side_file) says, or {}.

    Raises InputError for a side file that is not an object of text to text.
    """
    if not _is_parquet(Path(path)):
        return _side_metadata(side_file(path))
    metadata = _open_parquet(Path(path)).schema_arrow.metadata or {}
    return {k.decode(): v.decode() for k, v in metadata.items() if not k.startswith(b"ARROW:")}


def side_file(path: str | Path) -> Path:
    """Where the metadata of a JSONL file lies: answers.jsonl.meta.json beside answers.jsonl."""
    return Path(path).with_name(Path(path).name + ".meta.json")


def _side_metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a JSON object of names and texts")
    for name, text in value.items():
        if not isinstance(text, str):
            raise InputError(f"{path}: {name}: must be text, not {type(text).__name__}; write numbers in quotes")
    return value


def has_rows(path: str | Path) -> bool:
    return next(iterate_rows(path), None) is not None


def iterate_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet or JSONL file; raises InputError when it is missing, truncated or not UTF-8."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    yield from _parquet_rows(path) if _is_parquet(path) else _jsonl_rows(path)


def _jsonl_rows(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    with path.open("rb") as lines:
        for raw in lines:
            if not raw.strip():
                continue
            number += 1
            where = f"{path}: row {number}"
            try:
                row = json.loads(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise InputError(f"{where}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
            except json.JSONDecodeError as error:
                raise InputError(f"{where}: not a JSON object on one line ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{where}: must be a JSON object, not {type(row).__name__}")
            if b"\\ud" in raw.lower():
                _whole_characters(row, where)
            yield row


def _whole_characters(row: dict[str, Any], where: str) -> None:
    """Raise InputError for half of a character pair, which JSON can escape and no file or tokenizer can hold."""
    for name, value in row.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start].encode("unicode_escape").decode()
            raise InputError(f"{where}: {name!a}: holds half of a character ({half}); write the whole one") from None


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for batch in _open_parquet(path).iter_batches():
            yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{path}: damaged Parquet ({_short(error)}); fetch or write it again") from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_short(error)}); fetch or write it again") from None


def _is_parquet(path: Path) -> bool:
    if path.suffix in (".jsonl", ".json", ".ndjson"):
        return False
    if path.suffix == ".parquet" or not path.is_file():
        return True
    # KFP artifacts have no suffix.
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _write(
    rows: list[dict[str, Any]], path: Path, schema: pa.Schema | None, metadata: Mapping[str, str] | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            names = list(dict.fromkeys(name for row in rows for name in row))
            table = (
                pa.Table.from_pylist(rows, schema=schema)
                if schema is not None
                else pa.table({name: [row.get(name) for row in rows] for name in names})
            )
            table = table.replace_schema_metadata(dict(metadata or {}))
            pq.write_table(table, partial, compression="zstd")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise InputError(f"{path}: no space left on the disk; free some or write elsewhere") from None
        raise


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:120]
