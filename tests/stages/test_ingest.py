"""Ingest: every accepted shape, the defect policy, sampling, openings, and the shipped samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import InputError
from components.platform import store
from components.platform.tables import read_items
from components.questions.items import BENCHMARKS
from components.stages.ingest import IngestConfig, ingest


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"Question number {number}?",
        "options": {"A": "one", "B": "two", "C": "three", "D": f"four {number}"},
        "answer_idx": "ABCD"[number % 4],
        "dataset_name": "medqa",
        **changes,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "data/benchmarks/medqa.jsonl", [row(n) for n in range(10)])
    write(tmp_path / "data/train/t.jsonl", [row(n + 100, dataset_name="t") for n in range(5)])
    return tmp_path / "data"


def run(data: str | Path, out: Path, **config: Any) -> dict[str, Any]:
    return ingest(str(data), str(data), IngestConfig(**config), out)


def test_the_shipped_samples(tmp_path: Path) -> None:
    evidence = run("samples", tmp_path / "out", items_per_benchmark=8)
    assert evidence["per_benchmark"] == dict.fromkeys(evidence["per_benchmark"], 8)
    assert set(evidence["per_benchmark"]) == set(BENCHMARKS)
    assert evidence["dropped"] == 0 and set(evidence["licences"].values()) == {"CC-BY-4.0"}
    items = read_items(tmp_path / "out/benchmarks.parquet")
    assert all(item.group_id and all(item.opening(k) for k in range(3)) for item in items)
    assert {item.question_type for item in read_items(tmp_path / "out/labels.parquet")} == {
        "Reasoning",
        "Understanding",
    }
    # Four of its op5 items have the stem of an op4 item: one group, two items.
    assert evidence["benchmark_groups"] < len(items)


def test_openings_are_made_where_there_are_none(data: Path, tmp_path: Path) -> None:
    own = {f"adversarial_trace_{k}": "I think it is A, one, but I am not sure of it." for k in range(3)}
    write(data / "benchmarks/own.jsonl", [row(50, dataset_name="own", answer_idx="B", **own)])
    run(data, tmp_path / "out")
    items = {i.id: i for i in read_items(tmp_path / "out/benchmarks.parquet")}
    assert items["q50"].meta["trace_source"] == "published" and items["q50"].opening(0) == own["adversarial_trace_0"]
    assert items["q1"].meta["trace_source"] == "template" and items["q1"].opening(2)


def test_a_published_split_is_kept_apart(data: Path, tmp_path: Path) -> None:
    published = {"reasoning_prob": 0.9, "is_reasoning": True, "reasoning_threshold": 0.5}
    write(data / "benchmarks/p.jsonl", [row(60, dataset_name="p", **published)])
    run(data, tmp_path / "out")
    item = next(i for i in read_items(tmp_path / "out/benchmarks.parquet") if i.id == "q60")
    assert item.meta["published"] == published and item.is_reasoning is None and item.reasoning_prob is None


def test_parquet_in_both_option_forms_reads_like_jsonl(tmp_path: Path) -> None:
    rows = [row(n) for n in range(4)]
    write(tmp_path / "a/x.jsonl", rows)
    (tmp_path / "b").mkdir()
    pq.write_table(
        pa.Table.from_pylist([{**r, "options": json.dumps(r["options"])} for r in rows]), tmp_path / "b/x.parquet"
    )
    (tmp_path / "c").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c/x.parquet")
    for name in "abc":
        run(tmp_path / name, tmp_path / f"out-{name}")
    items = [read_items(tmp_path / f"out-{name}/benchmarks.parquet") for name in "abc"]
    assert items[0] == items[1] == items[2]


def test_repeated_ids_are_numbered(data: Path, tmp_path: Path) -> None:
    write(data / "benchmarks/medqa.jsonl", [row(1), row(1), row(2), row(1)])
    run(data, tmp_path / "out")
    items = read_items(tmp_path / "out/benchmarks.parquet")
    assert [i.id for i in items] == ["q1", "q1#2", "q2", "q1#3"]
    assert len({i.group_id for i in items}) == 2


def test_a_sample_is_seeded_and_grows(data: Path, tmp_path: Path) -> None:
    ids = {}
    for size, seed in ((3, 0), (6, 0), (3, 1)):
        run(data, tmp_path / f"{size}{seed}", items_per_benchmark=size, seed=seed)
        ids[size, seed] = {i.id for i in read_items(tmp_path / f"{size}{seed}/benchmarks.parquet")}
    assert len(ids[3, 0]) == 3 and ids[3, 0] < ids[6, 0] and ids[3, 0] != ids[3, 1]


def test_equal_input_gives_equal_bytes(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(data, tmp_path / name)
    for file in ("benchmarks.parquet", "train.parquet"):
        assert store.file_sha256(tmp_path / "one" / file) == store.file_sha256(tmp_path / "two" / file)


def test_dropped_rows_are_reported_and_strict_stops(data: Path, tmp_path: Path) -> None:
    write(
        data / "benchmarks/medqa.jsonl",
        [row(1), row(2, options={"A": "x", "B": "x"}, answer_idx="B"), row(3, answer_idx="Z")],
    )
    with pytest.raises(InputError, match=r"medqa\.jsonl: row 2: options: A and B have the same text"):
        run(data, tmp_path / "strict")
    evidence = run(data, tmp_path / "drop", defects="drop")
    assert evidence["dropped"] == 2 and evidence["per_benchmark"] == {"medqa": 1}
    assert "row 3: answer_idx" in evidence["defects"][1]


def test_from_a_stored_directory(data: Path, tmp_path: Path, store_uri: str) -> None:
    store.put_dir(data, f"{store_uri}/set", stage="data", key="k")
    assert run(f"{store_uri}/set", tmp_path / "out")["per_benchmark"] == {"medqa": 10}
    with pytest.raises(InputError, match=r"no manifest\.json"):
        run(f"{store_uri}/nothing", tmp_path / "none")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf:datasets/zou-lab/BioMed-R1-Eval", "40-digit commit"),
        ("no-such-folder", "no .jsonl or .parquet files"),
    ],
)
def test_sources_that_cannot_be_read(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run(source, tmp_path / "out")
