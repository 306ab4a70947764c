"""What an export does with names and texts that files and folders do not take as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InputError
from components.platform import sources
from components.platform.tables import read_items, write_items
from components.questions.items import Item
from components.questions.prompts import build_messages
from components.stages.export import ExportConfig, export_lm_eval, export_parquet
from components.stages.ingest import with_openings


@pytest.fixture(scope="module")
def items() -> list[Item]:
    path = sources.source_files(sources.SAMPLES, "benchmarks")[0]
    return [with_openings(item, 0) for item in read_items(path)[:4]]


@pytest.mark.parametrize(
    "names, settings",
    [
        (("NEJM-AI", "NEJM_AI"), ("plain",)),
        (("NEJM AI", "medqa", "NEJM_AI"), ("adversarial_0",)),
        (("medqa", "medqa_adversarial_0"), ("plain", "adversarial_0")),
    ],
)
def test_benchmarks_that_would_share_a_file_are_refused(
    items: list[Item], tmp_path: Path, names: tuple[str, ...], settings: tuple[str, ...]
) -> None:
    """Each name's questions are kept or the export stops before it writes: the first must not be overwritten."""
    questions = [item.with_(dataset_name=name, is_reasoning=True) for name, item in zip(names, items, strict=False)]
    config = ExportConfig.model_validate({"settings": settings})
    with pytest.raises(InputError, match="dataset_name") as refused:
        export_lm_eval(questions, config, tmp_path / "out")
    assert repr(names[0]) in str(refused.value) and repr(names[-1]) in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_benchmark_named_like_a_group_is_refused(items: list[Item], tmp_path: Path) -> None:
    config = ExportConfig(settings=("plain", "adversarial_0"))
    with pytest.raises(InputError, match="a group of tasks and 'adversarial-0'"):
        export_lm_eval([items[0].with_(dataset_name="adversarial-0")], config, tmp_path)


def test_benchmarks_that_only_look_alike_are_kept(items: list[Item], tmp_path: Path) -> None:
    names = ("medqa", "medqa_2", "Medqa-2b", "medqa_adversarial_0")
    questions = [item.with_(dataset_name=name) for name, item in zip(names, items, strict=False)]
    assert export_lm_eval(questions, ExportConfig(), tmp_path)["tasks"] == 4
    written = [
        json.loads(line)["id"] for path in tmp_path.glob("*.jsonl") for line in path.read_text().split("\n")[:-1]
    ]
    assert sorted(written) == sorted(item.id for item in questions)


@pytest.mark.parametrize("line_end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r\n", "\r"])
def test_every_line_end_in_a_question_comes_back(items: list[Item], tmp_path: Path, line_end: str) -> None:
    from lm_eval.tasks import TaskManager

    asked = items[1].with_(question=f"One{line_end}two?")
    export_lm_eval([asked, items[3]], ExportConfig(), tmp_path)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    tasks = manager.load(["biomed_r1"])["tasks"].values()
    docs = {doc["id"]: doc for task in tasks for doc in task.test_docs()}
    assert docs.keys() == {asked.id, items[3].id}
    assert docs[asked.id]["prompt"] == build_messages(asked, "direct")[0]["content"]


@pytest.mark.parametrize("name", ["..", ".", "...", "a/b", "/tmp/x", "README.md", "", "a b", "..\n", "-x", ".hidden"])
def test_a_benchmark_that_cannot_name_a_folder_is_refused(items: list[Item], tmp_path: Path, name: str) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(InputError, match="dataset_name"):
        export_parquet([items[0], items[1].with_(dataset_name=name)], out)
    assert not list(tmp_path.rglob("*")), "nothing is written, least of all beside the folder"


def test_the_verb_refuses_such_names_as_bad_input(items: list[Item], tmp_path: Path) -> None:
    """Through the command itself: exit code 2 and the field's name."""
    for form, names in (("parquet", ("medqa", "..")), ("lm-eval", ("NEJM-AI", "NEJM_AI"))):
        questions = [item.with_(dataset_name=n, is_reasoning=True) for n, item in zip(names, items, strict=False)]
        write_items(questions, tmp_path / "items.parquet")
        words = [
            "export",
            "--items",
            str(tmp_path / "items.parquet"),
            "--to",
            form,
            "--out",
            str(tmp_path / "a" / "out"),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 2 and "dataset_name" in done.stderr and repr(names[-1]) in done.stderr, done.stderr
        assert not (tmp_path / "a").exists()
