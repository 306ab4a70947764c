"""Exports: lm-eval tasks that ask and mark as we do, and Parquet that loads back through ingest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from components.errors import InputError
from components.exports.lm_eval_tasks import process_results
from components.extraction import extract
from components.platform import sources
from components.platform.tables import read_items, write_items
from components.questions.items import OPENINGS, Item, group_of
from components.questions.prompts import build_messages
from components.scoring.outcomes import grade, item_table
from components.stages.export import PUBLISHED_COLUMNS, ExportConfig, export_lm_eval, export_parquet
from components.stages.ingest import with_openings
from pipelines.cli.questions import export_command, ingest_command


@pytest.fixture(scope="module")
def items() -> list[Item]:
    files = sources.source_files(sources.SAMPLES, "benchmarks")
    read = [with_openings(item, 0) for path in files for item in read_items(path)[:4]]
    read[0] = read[0].with_(context='A context: "quoted",\nover two lines.')
    return [
        i.with_(is_reasoning=n % 2 == 0, reasoning_prob=0.3 + 0.4 * (n % 2 == 0), reasoning_threshold=0.5)
        for n, i in enumerate(read)
    ]


@pytest.fixture(scope="module")
def folder(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "tasks"
    export_lm_eval(items, ExportConfig(settings=("plain", "adversarial_0")), out)
    return out


def task_manager(folder: Path) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False)


def test_every_item_is_in_one_task_of_its_stratum_and_benchmark(items: list[Item], folder: Path) -> None:
    found = {}
    for path in folder.glob("*.jsonl"):
        stratum, _, benchmark = path.stem.partition("_")
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            row = json.loads(line)
            found[row["id"]] = (stratum, benchmark, row)
    assert found.keys() == {item.id for item in items}
    for item in items:
        stratum, benchmark, row = found[item.id]
        assert (stratum == "reasoning") is item.is_reasoning and benchmark == item.dataset_name
        assert row["prompt"] == build_messages(item, "direct")[0]["content"]
        assert [row[name] for name in OPENINGS] == [item.opening(k) for k in range(3)]
        assert (json.loads(row["options"]), row["answer_idx"]) == (item.options, item.answer_idx)


def test_lm_eval_reads_the_folder_wherever_it_is_moved(items: list[Item], folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    try:
        manager = task_manager(moved)
        tasks = manager.load(["biomed_r1"])["tasks"]
        assert len(tasks) == 22 and sum(len(t.test_docs()) for t in tasks.values()) == len(items)
        task = next(iter(tasks.values()))
        doc = next(iter(task.test_docs()))
        assert task.doc_to_text(doc) == doc["prompt"] and task.doc_to_target(doc) == doc["answer_idx"]
        assert str(tmp_path) not in "".join(p.read_text(encoding="utf-8") for p in moved.glob("*.yaml"))
    finally:
        moved.rename(folder)


def test_an_export_of_another_extraction_rule_is_refused(items: list[Item], tmp_path: Path) -> None:
    export_lm_eval(items[:2], ExportConfig(), tmp_path)
    for path in tmp_path.glob("biomed_r1_*_*.yaml"):
        path.write_text(path.read_text().replace("extraction: '", "extraction: 'old"))
    with pytest.raises(InputError, match="exported with extraction old"):
        task_manager(tmp_path).load(["biomed_r1"])


@given(output=st.text(max_size=80) | st.sampled_from(["The answer is B.", "A", "\\boxed{C}", "B or C", "<think>A"]))
def test_the_mark_of_lm_eval_is_that_of_score(output: str) -> None:
    item = Item("q", "?", {"A": "iron", "B": "zinc", "C": "lead"}, "B", "medqa")
    doc = {"options": json.dumps(item.options), "answer_idx": item.answer_idx}
    marked = process_results(doc, [output])
    graded = grade([item], [("row 1", {"item_id": "q", "model": "m", "setting": "plain", "output": output})])
    assert marked["exact_match"] == float(graded["m"]["plain"].correct[0])
    assert marked["no_answer"] == float(extract(output, item.options) is None)


def test_parquet_has_the_published_columns_and_loads_back(items: list[Item], tmp_path: Path) -> None:
    export_parquet(items, tmp_path / "set")
    files = sorted((tmp_path / "set").rglob("*.parquet"))
    assert len(files) == 11
    schema = pq.ParquetFile(files[0]).schema_arrow
    assert tuple(schema.names) == PUBLISHED_COLUMNS
    assert [str(schema.field(n).type) for n in ("options", "reasoning_prob", "is_reasoning")] == [
        "string",
        "double",
        "bool",
    ]
    card = yaml.safe_load((tmp_path / "set" / "README.md").read_text().strip("-\n"))
    assert {c["config_name"] for c in card["configs"]} == {item.dataset_name for item in items}
    done = CliRunner().invoke(
        ingest_command,
        ["--from", str(tmp_path / "set"), "--out", str(tmp_path / "back.parquet")],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    back = {item.id: item for item in read_items(tmp_path / "back.parquet")}
    assert back.keys() == {item.id for item in items}
    for item in items:
        again = back[item.id]
        assert build_messages(again, "direct") == build_messages(item, "direct"), "the same prompt, context or not"
        assert (again.options, again.answer_idx, again.dataset_name) == (
            item.options,
            item.answer_idx,
            item.dataset_name,
        )
        assert [again.opening(k) for k in range(3)] == [item.opening(k) for k in range(3)]
        assert again.meta["published"]["is_reasoning"] is item.is_reasoning, "strata that came along are kept apart"
        assert item.context or group_of(again) == group_of(item)


def test_datasets_loads_the_folder_as_the_published_set(items: list[Item], tmp_path: Path) -> None:
    from datasets import load_dataset

    export_parquet(items, tmp_path / "set")
    loaded = load_dataset(str(tmp_path / "set"), "medqa", split="test", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == list(PUBLISHED_COLUMNS) and len(loaded) == 4


def test_the_verb_says_what_it_wrote_and_what_is_missing(items: list[Item], tmp_path: Path) -> None:
    write_items(items, tmp_path / "items.parquet")
    given = ["--items", str(tmp_path / "items.parquet"), "--to", "lm-eval", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(export_command, [*given, "--json", str(tmp_path / "e.json")], catch_exceptions=False)
    assert "as 22 tasks" in done.output and json.loads((tmp_path / "e.json").read_text())["tasks"] == 22
    write_items([items[0].with_(adversarial_trace_2=None)], tmp_path / "bare.parquet")
    bare = ["--items", str(tmp_path / "bare.parquet"), *given[2:], "--set", "settings=[adversarial_2]"]
    assert "adversarial_trace_2: missing" in str(CliRunner().invoke(export_command, bare).exception)


@pytest.mark.slow
def test_lm_eval_asks_the_same_prompts_and_marks_as_score_does(items: list[Item], folder: Path, smollm: Path) -> None:
    """A stratum's tasks on SmolLM2, plain and opened: an item's exact match is `correct` of the same output."""
    import lm_eval

    from components.engines.rendering import load_tokenizer, render

    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(smollm), "dtype": "float32"},
        tasks=["biomed_r1_reasoning", "biomed_r1_reasoning_adversarial_0"],
        task_manager=task_manager(folder),
        apply_chat_template=True,
        log_samples=True,
        batch_size=8,
        bootstrap_iters=0,
        device="cpu",
        gen_kwargs="max_gen_toks=24",
    )
    tokenizer, by_id = load_tokenizer(smollm), {item.id: item for item in items}
    marks: dict[tuple[str, str], float] = {}
    rows = []
    for task, samples in found["samples"].items():
        setting = "adversarial_0" if task.endswith("adversarial_0") else "plain"
        for sample in samples:
            item = by_id[sample["doc"]["id"]]
            opening = item.opening(0) if setting == "adversarial_0" else None
            assert sample["arguments"][0][0] == render(tokenizer, build_messages(item, "direct"), opening)
            output = sample["filtered_resps"][0]
            rows.append({"item_id": item.id, "model": "m", "setting": setting, "output": output})
            marks[setting, item.id] = sample["exact_match"]
    reasoning = [item for item in items if item.is_reasoning]
    assert len(marks) == 2 * len(reasoning)
    graded = grade(reasoning, [(f"row {n}", row) for n, row in enumerate(rows)])["m"]
    for setting in ("plain", "adversarial_0"):
        for index, name in enumerate(item_table(reasoning).ids):
            assert marks[setting, name] == float(graded[setting].correct[index]), (setting, name)
    group = found["groups"]["biomed_r1_reasoning"]["exact_match,none"]
    assert group == pytest.approx(sum(m for (s, _), m in marks.items() if s == "plain") / len(reasoning))
