"""Ingest: every accepted shape, the defect policy, sampling, openings, and the shipped samples."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from components.errors import InputError
from components.platform.storage import store
from components.platform.tables import read_items
from components.questions import shapes
from components.questions.items import BENCHMARKS, SOURCE_FILE, parse_item
from components.stages.ingest import IngestConfig, ingest, read_source


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


def test_labels_come_from_their_own_source(data: Path, tmp_path: Path) -> None:
    """The benchmarks' own label is not taken then; a training item says which file it was read from."""
    write(data / "benchmarks/medqa.jsonl", [row(n, question_type="Reasoning" if n == 0 else None) for n in range(10)])
    told = [row(n + 50, question_type="Understanding" if n < 3 else None) for n in range(5)]
    write(tmp_path / "labels/benchmarks/medqa.jsonl", told)
    evidence = run(data, tmp_path / "out", labels_from=str(tmp_path / "labels"))
    assert [item.id for item in read_items(tmp_path / "out/labels.parquet")] == ["q50", "q51", "q52"]
    source = next(found["source"] for found in evidence["datasets"] if found["name"] == "labels")
    assert source == str(tmp_path / "labels")
    assert {item.meta[SOURCE_FILE] for item in read_items(tmp_path / "out/train.parquet")} == {"train/t.jsonl"}
    run(data, tmp_path / "own")
    assert [item.id for item in read_items(tmp_path / "own/labels.parquet")] == ["q0"]


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
        ("no-such-folder", "no such file or folder"),
    ],
)
def test_sources_that_cannot_be_read(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        run(source, tmp_path / "out")


def test_a_researchers_own_file_goes_in_as_it_is(tmp_path: Path) -> None:
    """Two suffixes, no ids, no set's name; how it was read stands in the evidence."""
    text = 'stem,opa,opb,opc,cop\n"Which, of these?",iron,zinc,lead,1\nAnd now?,iron,zinc,lead,3\n'
    (tmp_path / "My exam.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    evidence = run(tmp_path / "My exam.csv.gz", tmp_path / "out")
    items = read_items(tmp_path / "out/benchmarks.parquet")
    assert [(i.id, i.dataset_name, i.answer) for i in items] == [
        ("My exam-1", "My exam", "iron"),
        ("My exam-2", "My exam", "lead"),
    ]
    assert evidence["mappings"] == {"My exam.csv.gz": "question=stem,options=opa+opb+opc,answer_idx=cop,index_base=1"}


def test_a_mapping_is_for_the_source_that_has_its_columns(data: Path, tmp_path: Path) -> None:
    own = [{"Frage": "Which?", "eins": "iron", "zwei": "zinc", "richtig": 2}]
    write(tmp_path / "own.jsonl", own)
    config = IngestConfig(mapping="question=Frage,options=eins+zwei,answer_idx=richtig,index_base=1")
    assert config == IngestConfig(mapping={**config.mapping, "index_base": 1})
    ingest(str(tmp_path / "own.jsonl"), str(data), config, tmp_path / "out")
    assert [i.answer for i in read_items(tmp_path / "out/benchmarks.parquet")] == ["zinc"]
    with pytest.raises(ValidationError):
        IngestConfig(mapping=3)
    with pytest.raises(InputError, match="mapping: x=a: x is none of"):
        IngestConfig(mapping={"x": "a"})


def test_twins_among_the_wrong_options_leave_no_doubt(data: Path, tmp_path: Path) -> None:
    write(data / "benchmarks/medqa.jsonl", [row(0, options={"A": "one", "B": "two", "C": "two"})])
    assert run(data, tmp_path / "out")["per_benchmark"] == {"medqa": 1}


def test_files_that_lie_beside_data_are_no_questions(data: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "dataset_infos.json", "._medqa.jsonl", ".cache/x.json"):
        write(data / "benchmarks" / name, [{"nothing": 1}])
    assert run(data, tmp_path / "out")["per_benchmark"] == {"medqa": 10}


def test_the_examples_of_the_documentation() -> None:
    """Every row of the table of shapes is read, as the question that all of them ask."""
    text = (Path(__file__).parents[2] / "docs/question-formats.md").read_text(encoding="utf-8")
    examples = {name: json.loads(row) for name, row in re.findall(r"^\| ([^|]+) \| `(\{.*\})` \|", text, re.MULTILINE)}
    assert len(examples) == 12
    for name, example in examples.items():
        about = shapes.survey([example], "own", {}, name)
        item = parse_item(shapes.canonical(example, 1, about, name), name)
        assert item.answer == {"MedMCQA": "gold", "PubMedQA": "yes"}.get(name, "zinc"), name


@pytest.mark.skipif(not os.environ.get("BIOMED_R1_DATA"), reason="needs BIOMED_R1_DATA")
def test_real_medmcqa_loses_only_questions_whose_key_is_given_twice() -> None:
    path = Path(os.environ.get("BIOMED_R1_DATA", "")) / "benchmarks/medmcqa.jsonl"
    (source,) = read_source(str(path), "benchmarks", "drop")
    assert (source.rows, len(source.items)) == (4183, 4179)
    assert all("the key is ambiguous" in text for text in source.defects)
