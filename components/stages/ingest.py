"""Ingest: question sets of any accepted shape become Items, with groups, licences and adversarial openings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.errors import InputError
from components.platform import sources
from components.platform.formats.text_rows import plain_name
from components.platform.storage.store import file_sha256
from components.platform.tables import read_rows, write_items
from components.questions import shapes
from components.questions.items import OPENINGS, SOURCE_FILE, STRATUM_COLUMNS, Item, group_id, key_twins, parse_item
from components.questions.prefills.templates import OPENINGS_VERSION, make_openings
from components.questions.sampling import sample
from components.questions.shapes import check_mapping, parse_mapping

MAX_DEFECTS_LISTED = 100


class IngestConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    items_per_benchmark: int | None = Field(None, ge=1, description="a seeded sample of each benchmark; null: all")
    train_limit: int | None = Field(None, ge=1, description="a seeded sample of the training rows; null: all")
    labels_limit: int | None = Field(None, ge=2, description="a seeded sample of the expert labels; null: all")
    labels_from: str | None = Field(
        None, description="samples, a folder or s3:// with the expert labels; null: those of the benchmarks"
    )
    defects: Literal["strict", "drop"] = Field(
        "strict", description="a bad row stops the run, or is left out and reported"
    )
    mapping: dict[str, str] = Field(
        {}, description="question=stem,options=opa+opb: an Item's field and the file's column, where it has its own"
    )
    seed: int = 0

    @field_validator("mapping", mode="before")
    @classmethod
    def _known_fields(cls, value: Any) -> Any:
        """A mapping, or the text that `--map` takes. Numbers are names too: YAML reads `index_base: 1` as one."""
        if isinstance(value, str):
            return parse_mapping(value)
        return check_mapping({k: str(v) for k, v in value.items()}) if isinstance(value, dict) else value


class Source(BaseModel):
    """One file read: what it is, what it gave and what was left out of it."""

    file: str
    path: str  # folder and name, for what tells files of equal names apart
    digest: str
    licence: str
    dataset_names: list[str]
    rows: int
    mapping: str  # how its columns were read, as --map takes it; "" for Item's own
    defects: list[str]
    items: list[Any]


def ingest(benchmarks: str, train: str, config: IngestConfig, out_dir: Path) -> dict[str, Any]:
    """Read both sources and write benchmarks, train and labels .parquet and sources.json to `out_dir`.

    Labels are the items that carry an expert's `question_type`: of the benchmarks before sampling, or of
    `labels_from`. Raises InputError naming file, row and field.
    """
    evaluation = read_source(benchmarks, "benchmarks", config.defects, config.mapping)
    training = read_source(train, "train", config.defects, config.mapping)
    every = _with_unique_ids([item for source in evaluation for item in source.items])
    by_name: dict[str, list[Item]] = {}
    for item in every:
        by_name.setdefault(item.dataset_name, []).append(item)
    picked = [i for name in by_name for i in sample(by_name[name], config.items_per_benchmark, config.seed)]
    labels = sample(labelled_items(every, config), config.labels_limit, config.seed)
    rows = sample(
        _with_unique_ids([_from(i, s.path) for s in training for i in s.items]), config.train_limit, config.seed
    )
    sets = {
        "benchmarks": [with_openings(item, config.seed) for item in picked],
        "train": rows,
        "labels": labels,
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    datasets = []
    for name, items in sets.items():
        path = out_dir / f"{name}.parquet"
        if items or name == "labels":
            write_items(items, path)
            source = {"train": train, "labels": config.labels_from or benchmarks}.get(name, benchmarks)
            datasets.append(
                {"name": name, "digest": file_sha256(path), "source": source, "rows": len(items), "context": name}
            )
    described = [s.model_dump(exclude={"items", "path"}) for s in (*evaluation, *training)]
    (out_dir / "sources.json").write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
    return _evidence(sets, described, datasets)


def labelled_items(benchmarks: Sequence[Item], config: IngestConfig) -> list[Item]:
    """The items with an expert's label that a classifier can learn from, of `labels_from` or of the benchmarks."""
    items = list(benchmarks)
    if config.labels_from:
        read = read_source(config.labels_from, "benchmarks", config.defects)
        items = _with_unique_ids([item for part in read for item in part.items])
    return [item for item in items if item.question_type]


def ingest_one(source: str, kind: sources.Kind, config: IngestConfig, out: Path) -> tuple[int, list[Source]]:
    """Read one source of one kind and write its items to the file `out`: how many, and what was read.

    Raises InputError naming file, row and field.
    """
    read = read_source(source, kind, config.defects, config.mapping)
    by_name: dict[str, list[Item]] = {}
    for item in _with_unique_ids([item for part in read for item in part.items]):
        by_name.setdefault(item.dataset_name, []).append(item)
    limit = config.items_per_benchmark if kind == "benchmarks" else config.train_limit
    picked = [item for items in by_name.values() for item in sample(items, limit, config.seed)]
    if kind == "benchmarks":
        picked = [with_openings(item, config.seed) for item in picked]
    write_items(picked, out)
    return len(picked), read


def read_source(
    source: str, kind: sources.Kind, defects: str, mapping: Mapping[str, str] | None = None
) -> list[Source]:
    """Every file of a source, parsed and checked; raises InputError at a defect unless defects are dropped.

    `mapping` names columns that the usual shapes do not have (components/questions/shapes.py).
    """
    return [_read_file(path, source, defects, mapping or {}) for path in sources.source_files(source, kind)]


def with_openings(item: Item, seed: int) -> Item:
    """The item with three adversarial openings: its own, and templates of the evaluation half for those it lacks."""
    own = [item.opening(k) for k in range(3)]
    if all(own):
        return item.with_(meta={"trace_source": "published", **item.meta})
    made = make_openings(item, seed, "evaluation")
    texts = {name: mine or new for name, mine, new in zip(OPENINGS, own, made, strict=True)}
    return item.with_(**texts, meta={**item.meta, "trace_source": "template", "openings_version": OPENINGS_VERSION})


def _read_file(path: Path, source: str, defects: str, mapping: Mapping[str, str]) -> Source:
    items: list[Item] = []
    found: list[str] = []
    shape: str | None = None
    file = path.name if source == sources.SAMPLES else str(path)
    rows = read_rows(path)
    about = shapes.survey(rows, plain_name(path), mapping, file)
    for number, row in enumerate(rows, start=1):
        where = f"{file}: row {number}"
        try:
            items.append(_checked(parse_item(shapes.canonical(row, number, about, where), where), where))
        except InputError as error:
            if defects == "strict":
                raise
            found.append(str(error))
            continue
        shape = shapes.described(row, about) if shape is None else shape
    if not items:
        reason = f"; the first of {len(found)} defects: {found[0]}" if found else ""
        raise InputError(f"{path}: no usable rows{reason}")
    names = sorted({item.dataset_name for item in items})
    return Source(
        file=path.name,
        path=f"{path.parent.name}/{path.name}",
        digest=file_sha256(path),
        licence=sources.licence(source, names[0]),
        dataset_names=names,
        rows=len(rows),
        mapping=shape or "",
        defects=found,
        items=items,
    )


def _from(item: Item, path: str) -> Item:
    """The item with the file it was read from: curate tells the sources of a training set apart by it."""
    return item.with_(meta={**item.meta, SOURCE_FILE: path})


def _checked(item: Item, where: str) -> Item:
    twins = key_twins(item)
    if twins:
        raise InputError(f"{where}: options: {twins[0]} and {twins[1]} have the same text; the key is ambiguous")
    published = {name: getattr(item, name) for name in STRATUM_COLUMNS if getattr(item, name) is not None}
    meta = {**item.meta, "published": published} if published else item.meta
    cleared = dict.fromkeys(STRATUM_COLUMNS)
    checked = item.with_(group_id=item.group_id or group_id(item.question, item.context), meta=meta, **cleared)
    try:
        with_openings(checked, 0)
    except InputError as error:
        raise InputError(f"{where}: options: {error}") from None
    return checked


def _with_unique_ids(items: Sequence[Item]) -> list[Item]:
    """A repeated id gets #2, #3 in order of appearance (GPQA's copies share theirs in some releases)."""
    count: dict[str, int] = {}
    unique = []
    for item in items:
        count[item.id] = count.get(item.id, 0) + 1
        unique.append(item if count[item.id] == 1 else item.with_(id=f"{item.id}#{count[item.id]}"))
    return unique


def _evidence(
    sets: dict[str, list[Item]], described: list[dict[str, Any]], datasets: list[dict[str, Any]]
) -> dict[str, Any]:
    per_benchmark: dict[str, int] = {}
    for item in sets["benchmarks"]:
        per_benchmark[item.dataset_name] = per_benchmark.get(item.dataset_name, 0) + 1
    dropped = [text for source in described for text in source["defects"]]
    rows_in = sum(source["rows"] for source in described)
    counts = {f"{name}_rows": len(items) for name, items in sets.items()}
    groups = len({i.group_id for i in sets["benchmarks"]})
    return {
        "rows_in": rows_in,
        "rows_out": counts["benchmarks_rows"] + counts["train_rows"],
        "per_benchmark": per_benchmark,
        "benchmark_groups": groups,
        "dropped": len(dropped),
        "defects": [text.rsplit("/", 1)[-1] for text in dropped[:MAX_DEFECTS_LISTED]],
        "mappings": {s["file"]: s["mapping"] for s in described if s["mapping"]},
        "licences": {s["file"]: s["licence"] for s in described},
        "datasets": datasets,
        "metrics": {**counts, "dropped": len(dropped), "benchmark_groups": groups},
    }
