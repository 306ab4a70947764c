"""Parquet in and out: the only user of pyarrow, imported when the first Parquet file is met.

A core installation has no pyarrow (it is larger than all the rest): tables.py says so then.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import InputError
from components.platform.formats.text_rows import opened
from components.questions.items import COLUMNS

_FOOTER_BYTES = 1 << 16
_FLOATS = {"reasoning_prob", "reasoning_threshold"}
_ITEM_SCHEMA = pa.schema(
    [
        (name, pa.float64() if name in _FLOATS else pa.bool_() if name == "is_reasoning" else pa.string())
        for name in COLUMNS
    ]
)


def parquet_rows(path: Path, packed: bool) -> Iterator[dict[str, Any]]:
    """The rows of a file; raises InputError where it is not Parquet or damaged."""
    with opened(path) as file:
        try:
            # Unpacked whole: Parquet is read from its end.
            parquet = pq.ParquetFile(io.BytesIO(file.read()) if packed else path)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from None
        try:
            for batch in parquet.iter_batches():
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: damaged Parquet ({_short(error)}); fetch or write it again") from None


def parquet_metadata(path: Path) -> dict[str, str]:
    """The text metadata of a file's schema, without Arrow's own; raises InputError where it cannot be read."""
    try:
        metadata = pq.ParquetFile(path).schema_arrow.metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    return {k.decode(): v.decode() for k, v in metadata.items() if not k.startswith(b"ARROW:")}


def count_rows(uri: str) -> int | None:
    """How many rows a Parquet file (s3://... or local) says it has, by its last bytes; None for one of another kind."""
    # Here: who reads a local file needs no client of a store.
    from components.platform.storage.objects import read_tail

    if not uri.endswith(".parquet"):
        return None
    tail = read_tail(uri, _FOOTER_BYTES)
    # A Parquet file ends with the length of its footer and a magic word of four bytes each.
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail):
        tail = read_tail(uri, length)
    return int(pq.read_metadata(io.BytesIO(tail)).num_rows)


def write_parquet(
    rows: list[dict[str, Any]], path: Path, item_columns: Sequence[str] | None, metadata: Mapping[str, str]
) -> None:
    """Rows as a file; with `item_columns` in the types of items, so that a column of nulls keeps its type."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = (
        pa.Table.from_pylist(rows, schema=pa.schema([_ITEM_SCHEMA.field(name) for name in item_columns]))
        if item_columns is not None
        else pa.table({name: [row.get(name) for row in rows] for name in names})
    )
    pq.write_table(table.replace_schema_metadata(dict(metadata)), path, compression="zstd")


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path}: not a readable Parquet file ({_short(error)}); fetch or write it again")


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:120]
