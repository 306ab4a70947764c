"""Bad input: exit code 2, file, row and field named, no new object in S3 and no new run in MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from in_process import ended

from components.platform.storage import objects, store

Case = Callable[[Path, str], list[str]]
ROW: dict[str, Any] = {
    "id": "q1",
    "question": "Which ion is low?",
    "options": {"A": "sodium", "B": "potassium"},
    "answer_idx": "B",
    "dataset_name": "medqa",
}


def folder(tmp: Path, rows: list[dict[str, Any]] | bytes, name: str = "medqa.jsonl") -> list[str]:
    """A data folder whose one benchmark file is this; returns the arguments that use it."""
    for kind in ("benchmarks", "train"):
        (tmp / "data" / kind).mkdir(parents=True, exist_ok=True)
    text = rows if isinstance(rows, bytes) else "".join(json.dumps(r) + "\n" for r in rows).encode()
    (tmp / "data/benchmarks" / name).write_bytes(text)
    (tmp / "data/train/train.jsonl").write_text(json.dumps(ROW) + "\n")
    return ["--data", str(tmp / "data")]


def truncated_parquet(tmp: Path, root: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([ROW] * 500), tmp / "whole.parquet")
    whole = (tmp / "whole.parquet").read_bytes()
    return folder(tmp, whole[: len(whole) // 2], "medqa.parquet")


def stored(tmp: Path, root: str) -> str:
    """The data folder in the store, complete; returns its URI."""
    folder(tmp, [ROW])
    store.put_dir(tmp / "data", f"{root}/set", stage="data", key="k")
    return f"{root}/set"


def changed_byte(tmp: Path, root: str) -> list[str]:
    uri = stored(tmp, root)
    (tmp / "bad").write_text(json.dumps({**ROW, "id": "qX"}) + "\n")
    objects.put_file(tmp / "bad", f"{uri}/benchmarks/medqa.jsonl")
    return ["--data", uri]


def path_out(tmp: Path, root: str) -> list[str]:
    uri = stored(tmp, root)
    manifest = store.read_manifest(uri) or {}
    manifest["files"][0]["path"] = "../../outside"
    store.put_json(f"{uri}/manifest.json", manifest)
    return ["--data", uri]


CASES: dict[str, tuple[Case, list[str]]] = {
    "unknown recipe key": (
        lambda t, r: ["--set", "sft.learningrate=1"],
        ["recipe smoke.yaml", "sft.learningrate", "unknown"],
    ),
    "unknown recipe": (lambda t, r: ["--recipe", "nope"], ["nope", "smoke"]),
    "value out of range": (lambda t, r: ["--set", "compare.alpha=2"], ["compare.alpha", "less than 1"]),
    "options empty": (lambda t, r: folder(t, [ROW, {**ROW, "options": {}}]), ["medqa.jsonl", "row 2", "options"]),
    "options duplicated": (
        lambda t, r: folder(t, [{**ROW, "options": {"A": "sodium", "B": "sodium"}}]),
        ["medqa.jsonl", "row 1", "options", "same text"],
    ),
    "a letter twice": (
        lambda t, r: folder(t, [{**ROW, "options": '{"A": "x", "B": "y", "A": "z"}'}]),
        ["medqa.jsonl", "row 1", "options", "twice"],
    ),
    "options malformed": (
        lambda t, r: folder(t, [ROW, ROW, {**ROW, "options": "{'A': 'x'}"}]),
        ["medqa.jsonl", "row 3", "options", "JSON"],
    ),
    "answer not among options": (
        lambda t, r: folder(t, [{**ROW, "answer_idx": "E"}]),
        ["medqa.jsonl", "row 1", "answer_idx", "'E'"],
    ),
    "zero rows": (lambda t, r: folder(t, []), ["medqa.jsonl", "no usable rows"]),
    "missing column": (
        lambda t, r: folder(t, [{k: v for k, v in ROW.items() if k != "question"}]),
        ["medqa.jsonl", "row 1", "question", "missing"],
    ),
    "not utf-8": (
        lambda t, r: folder(t, json.dumps({**ROW, "question": "Grüße"}, ensure_ascii=False).encode("latin-1")),
        ["medqa.jsonl", "row 1", "UTF-8"],
    ),
    "not json": (lambda t, r: folder(t, b'{"id": 1,\n'), ["medqa.jsonl", "row 1", "JSON"]),
    "truncated parquet": (truncated_parquet, ["medqa.parquet", "Parquet"]),
    "no such folder": (lambda t, r: ["--data", str(t / "nothing")], ["nothing", "no such file or folder"]),
    "no manifest": (lambda t, r: ["--data", f"{r}/nothing"], ["nothing", "manifest.json"]),
    "one changed byte": (changed_byte, ["medqa.jsonl", "differs from its manifest"]),
    "path leads out": (path_out, ["manifest.json", "../../outside", "refused"]),
    "hub model without network": (
        lambda t, r: ["--set", f"base_model=hf:meta-llama/Llama-3.1-8B-Instruct@{'0' * 40}"],
        ["hf:meta-llama/Llama-3.1-8B-Instruct", "network"],
    ),
    "hub model unpinned": (lambda t, r: ["--set", "base_model=hf:meta-llama/Llama-3.1-8B-Instruct"], ["pinned"]),
    "model without safetensors": (lambda t, r: ["--set", f"base_model={t}"], ["config.json"]),
    "no champion to train": (
        lambda t, r: ["--set", "base_model=registry:nobody@champion"],
        ["registry:nobody@champion"],
    ),
}


def call(*arguments: str, **variables: str) -> tuple[int, str]:
    """A smoke run with these arguments: in this process where its clients may be shared, else in one of its own."""
    line, own = ["run", "--recipe", "smoke", *arguments], {"BIOMED_R1_NEEDED_DISK_BYTES": "1000000", **variables}
    if not variables:
        found = ended(line, Path.cwd(), own)
        assert found.error is None, found.error
        return found.code, found.output
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *line],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr


def traces(root: str) -> tuple[list[str], int]:
    """What a run would leave: the store's objects and the number of MLflow runs."""
    from mlflow import MlflowClient

    client = MlflowClient()
    experiments = [e.experiment_id for e in client.search_experiments()]
    return store.list_files(root), len(client.search_runs(experiments, max_results=5000))


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, tmp_path: Path, store_uri: str) -> None:
    make, said = CASES[name]
    arguments = make(tmp_path, store_uri)
    before = traces(store_uri)
    code, stderr = call(*arguments)
    assert code == 2, stderr
    assert "Traceback" not in stderr
    assert [word for word in said if word not in stderr] == [], stderr
    assert traces(store_uri) == before


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"])
def test_a_server_that_does_not_answer(variable: str, servers: Mapping[str, str], store_uri: str) -> None:
    code, stderr = call(**{variable: "http://127.0.0.1:9"})
    assert code == 2, stderr
    assert "127.0.0.1" in stderr and ("AWS_ENDPOINT_URL_S3" in stderr or "MLFLOW_TRACKING_URI" in stderr), stderr
    assert store.list_files(store_uri) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A 2 MB file system of its own."""
    mounted = tmp_path / f"small-{uuid.uuid4().hex[:6]}"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mounted)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted here: {done.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=False)


def test_a_disk_too_small_is_found_before_any_work(small_disk: Path, store_uri: str) -> None:
    before = traces(store_uri)
    code, stderr = call(BIOMED_R1_HOME=str(small_disk / "home"), BIOMED_R1_NEEDED_DISK_BYTES="8000000000")
    assert code == 2 and "free" in stderr and str(small_disk) in stderr
    assert traces(store_uri) == before


def test_a_disk_that_fills_up_leaves_no_half_file(small_disk: Path, tmp_path: Path) -> None:
    rows = [{**ROW, "id": f"q{n}", "question": os.urandom(300).hex()} for n in range(20_000)]
    source = folder(tmp_path, rows)[1]
    out = small_disk / "items.parquet"
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "ingest", "--from", source, "--out", str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no space left" in done.stderr and "items.parquet" in done.stderr
    assert list(small_disk.iterdir()) == []
