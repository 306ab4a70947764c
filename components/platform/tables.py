"""Question and answer tables on disk: Parquet or text in, Parquet or JSONL out."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.platform.folders.deletion import replacing
from components.platform.formats.text_rows import format_of, opened, text_rows
from components.questions.items import COLUMNS, Item, item_row, parse_item


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
    rows = [{name: row[name] for name in columns} for row in map(item_row, items)]
    _write(rows, Path(path), columns, metadata)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    return list(iterate_rows(path))


def write_rows(rows: Sequence[Mapping[str, Any]], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Plain rows as Parquet or JSONL; `metadata` travels in the Parquet file's schema."""
    _write([dict(row) for row in rows], Path(path), None, metadata)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The text metadata written with a Parquet file; of JSONL, what its side file (side_file) says, or {}.

    Raises InputError for a side file that is not an object of text to text.
    """
    if not _is_parquet(Path(path)) or _is_packed(Path(path)):
        return _side_metadata(side_file(path))
    found: dict[str, str] = _parquet(Path(path)).parquet_metadata(Path(path))
    return found


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
    """The rows of a file of any format in text_rows.FORMATS; raises InputError when it is missing or unreadable."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if _is_parquet(path):
        yield from _parquet(path).parquet_rows(path, _is_packed(path))
    else:
        yield from text_rows(path, format_of(path) or "jsonl")


def _parquet(path: Path) -> Any:
    """The module parquet, loaded when it is needed; raises InputError where pyarrow is not installed."""
    try:
        from components.platform.formats import parquet
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise InputError(
            f"{path}: Parquet needs pyarrow, which the core installation leaves out: pip install pyarrow, or use .jsonl"
        ) from None
    return parquet


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _is_parquet(path: Path) -> bool:
    kind = format_of(path)
    if kind is not None or not path.is_file():
        return kind in ("parquet", None)
    # KFP artifacts have no suffix.
    with opened(path) as file:
        return file.read(4) == b"PAR1"


def _write(
    rows: list[dict[str, Any]], path: Path, item_columns: Sequence[str] | None, metadata: Mapping[str, str] | None
) -> None:
    if format_of(path) not in ("jsonl", "parquet", None) or _is_packed(path):
        raise InputError(f"{path}: tables are written as .parquet or .jsonl; give the file one of these endings")
    try:
        with replacing(path) as partial:
            if format_of(path) == "jsonl":
                with partial.open("w", encoding="utf-8") as file:
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            else:
                _parquet(path).write_parquet(rows, partial, item_columns, metadata or {})
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise InputError(f"{path}: no space left on the disk; free some or write elsewhere") from None
        raise
