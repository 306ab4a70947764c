"""`biomed-r1 run` on an evaluation recipe: shards and merging in a real pipeline, on what the smoke run has stored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.platform import execution
from components.platform.storage import store
from components.platform.tables import read_metadata, read_rows
from pipelines.settings.evaluation_recipe import load_evaluation_recipe
from pipelines.settings.tasks import expected
from pipelines.settings.training_recipe import load_training_recipe

pytestmark = pytest.mark.slow
Answers = tuple[list[dict[str, Any]], dict[str, str]]


@pytest.fixture(scope="module")
def recipe(finished: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smoke recipe's questions and settings; `one` is its base model in two shards, `two` is asked otherwise."""
    smoke = load_training_recipe("smoke")
    values = {
        "name": "two-ways",
        "ingest": smoke.ingest.model_dump(mode="json"),
        "stratify": smoke.stratify.model_dump(mode="json"),
        "classifier": finished.stage("classify")["uri"],
        "shards": 2,
        "evaluate": smoke.evaluate.model_dump(mode="json"),
        "models": [
            {"name": "one", "model": str(tiny_model)},
            {"name": "two", "model": str(tiny_model), "evaluate": {"prompt": "m1", "settings": ["plain"]}},
        ],
        "score": {"draws": 200},
    }
    path = tmp_path_factory.mktemp("recipe") / "two-ways.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def evaluate(
    recipe: str,
    environment: dict[str, str],
    interpreters: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Any]:
    def run(*arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        file = tmp_path_factory.mktemp("summary") / "out.json"
        command = [
            sys.executable,
            "-m",
            "pipelines.cli",
            "run",
            "--recipe",
            recipe,
            "--json",
            str(file),
            *arguments,
        ]
        where = {**environment, **variables} if variables else interpreters
        done = subprocess.run(command, env=where, capture_output=True, text=True, timeout=1800)
        return done, json.loads(file.read_text()) if file.is_file() else {}

    return run


@pytest.fixture(scope="module")
def evaluated(evaluate: Callable[..., Any]) -> Any:
    done, summary = evaluate()
    assert done.returncode == 0, done.stderr
    return done, summary


def answers(uri: str, folder: Path) -> Answers:
    place, _, name = uri.rpartition("/")
    store.get_file(place, name, folder / name)
    return read_rows(folder / name), read_metadata(folder / name)


def test_merged_shards_are_the_unsharded_evaluation(evaluated: Any, finished: Any, tmp_path: Path) -> None:
    merged, about = answers(evaluated[1]["answers_uri"]["one"], tmp_path)
    whole, about_whole = answers(finished.summary["answers_uri"]["base"], tmp_path)
    assert len(merged) == 88 and [{**row, "model": "base"} for row in merged] == whole
    assert about == about_whole


def test_every_shard_left_a_receipt_and_what_was_stored_was_reused(evaluated: Any, recipe: str) -> None:
    _, summary = evaluated
    receipts = execution.read_receipts(summary["s3_prefix"], summary["run_id"])
    assert set(receipts) == set(expected(load_evaluation_recipe(recipe))) and len(receipts) == 9
    assert [name for name, r in receipts.items() if r["reused"]] == ["ingest", "stratify"]
    counts = [receipts[f"evaluate-one-{k}of2"]["evidence"]["rows_out"] for k in (1, 2)]
    assert sum(counts) == 88 and min(counts) >= 40


def test_the_summary_and_the_report_are_of_both_models(evaluated: Any) -> None:
    done, summary = evaluated
    assert {c["model"] for c in summary["scores"]["cells"]} == {"one", "two"}
    assert [m["name"] for m in summary["models"]] == ["one", "two"] and all(
        m["weights_sha256"] for m in summary["models"]
    )
    assert summary["gate"] is None and summary["model_version"] is None and "Gate:" not in done.stdout
    page = Path(summary["report"]).read_text(encoding="utf-8")
    assert "HuatuoGPT-o1-8B (public)" in page and "one (here)" in page and "56.9 / 44.8" in page


def test_a_shard_that_fails_is_named_and_the_rest_is_not_merged(evaluated: Any, evaluate: Callable[..., Any]) -> None:
    done, summary = evaluate("--set", "evaluate.max_new_tokens=5", BIOMED_R1_FAULT="evaluate-one-2of2:raise")
    assert done.returncode == 1 and summary == {}
    assert "stage evaluate-one-2of2 failed" in done.stderr and "logs/evaluate-one-2of2.log" in done.stderr


def test_nothing_changed_means_everything_is_reused(evaluated: Any, evaluate: Callable[..., Any]) -> None:
    done, summary = evaluate()
    assert done.returncode == 0, done.stderr
    assert [s["name"] for s in summary["stages"] if not s["reused"]] == []
    assert summary["scores"] == evaluated[1]["scores"]
