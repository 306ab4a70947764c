"""Merge: the shards of an evaluation become one table of answers per model, complete or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.errors import InputError, StageError
from components.platform.tables import read_items, read_metadata, read_rows, write_rows
from components.questions.askings import Key, askings, told
from components.questions.items import items_digest
from components.questions.sampling import sample
from components.questions.sharding import shard_numbers
from components.scoring.askings.marking import sample_of


class Asked(BaseModel):
    """What one model was asked: the fields of its evaluate config that say which rows there must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: tuple[str, ...] = Field(min_length=1)
    limit: int | None = None
    seed: int = 0
    samples: int = Field(1, ge=1)
    permute_options: bool = False


class MergeConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: int = Field(ge=1)
    models: dict[str, Asked] = Field(min_length=1, description="by name, in the order of the recipe")


def merge(items: Path, pieces: Sequence[Path], config: MergeConfig, out_dir: Path) -> dict[str, Any]:
    """Write out_dir/NAME.parquet for every model: the rows that one evaluation of the whole set would have written.

    Returns the evidence. Raises StageError for a row that is missing (naming its shard), repeated or of nobody, and
    InputError when two shards of a model were answered under different conditions.
    """
    questions = read_items(items)
    rows: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in config.models}
    metadata: dict[str, dict[str, str]] = {}
    for piece in pieces:
        found = read_rows(piece)
        name = str(found[0]["model"]) if found else ""
        if name not in config.models:
            raise StageError(f"{piece}: answers of {name!r}, who is none of {', '.join(config.models)}")
        _same_conditions(name, metadata.setdefault(name, read_metadata(piece)), read_metadata(piece), piece)
        for row in found:
            key = (str(row["item_id"]), str(row["setting"]), sample_of(row, str(piece)), row.get("order") or None)
            if row["model"] != name:
                raise StageError(f"{piece}: an answer of {row['model']!r} among those of {name!r}")
            if key in rows[name]:
                raise StageError(f"{piece}: model {name}: item {key[0]} ({told(*key[1:])}): answered twice")
            rows[name][key] = row
    out_dir.mkdir(parents=True, exist_ok=True)
    counts = {}
    for name, asked in config.models.items():
        own = sample(questions, asked.limit, asked.seed)
        wanted = [a.key for a in askings(own, asked.settings, asked.samples, asked.permute_options, asked.seed)]
        number = dict(zip((item.id for item in own), shard_numbers(own, config.shards), strict=True))
        _complete(name, wanted, rows[name], number, config.shards)
        table = [rows[name][key] for key in wanted]
        write_rows(table, out_dir / f"{name}.parquet", {**metadata[name], "items_digest": items_digest(own)})
        counts[name] = {"rows": len(table), "correct": sum(bool(row["correct"]) for row in table)}
    total = sum(count["rows"] for count in counts.values())
    return {
        "rows_in": len(questions),
        "rows_out": total,
        "shards": len(pieces),
        "models": counts,
        "metrics": {"rows_in": len(questions), "rows_out": total, "shards": len(pieces)},
    }


def _same_conditions(name: str, first: Mapping[str, str], other: Mapping[str, str], piece: Path) -> None:
    """Every key but the digest of the questions must be equal: shards differ in nothing else."""
    for key in sorted((first.keys() | other.keys()) - {"items_digest"}):
        if first.get(key) != other.get(key):
            raise InputError(
                f"{piece}: {key}: {other.get(key)!r}, but another shard of {name!r} has {first.get(key)!r}; name one "
                "engine in the recipe (`engine: auto` may choose by size), and evaluate the model again"
            )


def _complete(
    name: str,
    wanted: Sequence[Key],
    rows: Mapping[Key, Any],
    shard_of: Mapping[str, int],
    shards: int,
) -> None:
    missing = [key for key in wanted if key not in rows]
    if missing:
        numbers = sorted({shard_of[key[0]] for key in missing})
        raise StageError(
            f"model {name}: {len(missing)} of {len(wanted)} answers are missing, the first to item {missing[0][0]} "
            f"({told(*missing[0][1:])}); they belong to shard {', '.join(str(n + 1) for n in numbers)} of {shards}"
        )
    if extra := sorted(rows.keys() - set(wanted), key=str):
        raise StageError(f"model {name}: {len(extra)} answers to what was not asked, the first to item {extra[0][0]}")
