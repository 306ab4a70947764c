"""Exports for inspect_ai and verifiers: each folder runs under its framework, and items are marked as we mark them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faulty_endpoint import FaultyEndpoint, endpoint

from components.errors import InputError
from components.extraction import extract
from components.platform import sources
from components.platform.tables import read_items, write_items
from components.questions.items import Item
from components.questions.prompts import build_messages
from components.scoring.outcomes import grade, item_table
from components.stages.export import ExportConfig, export_folder
from components.stages.grpo import GrpoConfig
from components.stages.ingest import with_openings
from components.training.rewards import rewards
from pipelines.cli.questions import export_command

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("plain", "adversarial_0")
# Of components/exports/verifiers_environment.py, which needs verifiers to be imported.
WEIGHTS = {"correctness": 1.0, "format": 0.2, "self_correction": 0.5}
CONTINUED = {"add_generation_prompt": False, "continue_final_message": True}


@pytest.fixture(scope="module")
def items() -> list[Item]:
    files = sources.source_files(sources.SAMPLES, "benchmarks")
    read = [with_openings(item, 0) for path in files for item in read_items(path)[:4]]
    return [item.with_(is_reasoning=n % 2 == 0) for n, item in enumerate(read)]


@pytest.mark.parametrize(("form", "code"), [("inspect-ai", "task.py"), ("verifiers", "biomed_r1_env.py")])
def test_the_verb_writes_a_folder_of_questions_code_and_readme(
    items: list[Item], tmp_path: Path, form: str, code: str
) -> None:
    write_items(items, tmp_path / "items.parquet")
    given = ["--items", str(tmp_path / "items.parquet"), "--to", form, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(export_command, [*given, "--set", "settings=[plain, adversarial_1]"])
    assert done.exit_code == 0 and f"{len(items)} questions" in done.output, done.output
    names = {"questions.jsonl", "export.json", "README.md", "biomed_r1_questions.py", ".biomed-r1.json", code}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert "plain, adversarial_1." in (tmp_path / "out" / "README.md").read_text()
    lines = (tmp_path / "out" / "questions.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    by_id = {item.id: item for item in items}
    for row in map(json.loads, lines):
        item = by_id.pop(row["id"])
        assert row["prompt"] == build_messages(item, "direct")[0]["content"]
        assert (row["options"], row["answer_idx"], row["benchmark"]) == (
            item.options,
            item.answer_idx,
            item.dataset_name,
        )
        assert (row["stratum"] == "reasoning") is item.is_reasoning
        assert row["openings"] == {"adversarial_1": item.opening(1)}
    assert not by_id


def test_an_item_without_the_opening_is_refused(items: list[Item], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adversarial_trace_2: missing"):
        export_folder(
            [items[0].with_(adversarial_trace_2=None)],
            "verifiers",
            ExportConfig(settings=("adversarial_2",)),
            tmp_path,
        )


def test_a_folder_refuses_unknown_choices_and_another_extraction(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.exports import questions

    export_folder(items, "verifiers", ExportConfig(), tmp_path)
    monkeypatch.setattr(questions, "__file__", str(tmp_path / "biomed_r1_questions.py"))
    assert len(questions.questions("all", "all", "plain")) == len(items)
    with pytest.raises(InputError, match="strata: all, knowledge, reasoning"):
        questions.questions("reason", "all", "plain")
    with pytest.raises(InputError, match="it has plain"):
        questions.questions("all", "all", "adversarial_0")
    record = tmp_path / "export.json"
    record.write_text(record.read_text().replace('"extraction": "', '"extraction": "old'))
    with pytest.raises(InputError, match="exported with extraction old"):
        questions.questions("all", "all", "plain")


def test_the_rewards_have_the_weights_of_grpo() -> None:
    fields = GrpoConfig.model_fields
    assert {name: fields[f"reward_{name}"].default for name in WEIGHTS} == WEIGHTS
    code = (ROOT / "components" / "exports" / "verifiers_environment.py").read_text(encoding="utf-8")
    assert f"WEIGHTS = {json.dumps(WEIGHTS)}" in code


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """inspect_ai and verifiers in a folder of their own: what they require does not fit constraints.txt."""
    site = tmp_path_factory.mktemp("frameworks")
    listed = ROOT / "tests" / "support" / "frameworks.txt"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        site,
        "--requirement",
        listed,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


@pytest.fixture
def answering() -> Iterator[FaultyEndpoint]:
    """An endpoint whose answers are right, wrong, wordy, unreadable or missing, by a hash of the messages."""
    with endpoint() as server:
        server.text = _written
        yield server


def _written(body: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps([_words(m) for m in body["messages"]]).encode()).digest()
    letter = "ABCD"[digest[0] % 4]
    forms = (
        "The answer is {}.",
        "Several things speak for it.\nThe answer is {}.",
        "<think>B at first sight</think>The answer is {}.",
        "**{}**",
        "A or {}",
        "I cannot say.",
        "On reflection that was wrong. \\boxed{{{}}}",
    )
    return forms[digest[1] % len(forms)].format(letter)


def _words(message: Mapping[str, Any]) -> tuple[str, str]:
    """Role and text, however the framework writes content."""
    content = message["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    return message["role"], text


def _expected(item: Item, setting: str) -> list[tuple[str, str]]:
    asked = [(m["role"], m["content"]) for m in build_messages(item, "direct")]
    return asked if setting == "plain" else [*asked, ("assistant", item.opening(0) or "")]


def _output(item: Item, setting: str) -> str:
    return _written({"messages": [{"role": role, "content": text} for role, text in _expected(item, setting)]})


def _run(command: list[str], site: Path, folder: Path, server: FaultyEndpoint) -> None:
    paths = os.pathsep.join([str(site), str(folder), str(ROOT)])
    own = {"PYTHONPATH": paths, "LOCAL_API_KEY": "none", "LOCAL_BASE_URL": server.url, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, *command], env=os.environ | own, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _check_requests(server: FaultyEndpoint, items: list[Item], setting: str) -> None:
    last = "user" if setting == "plain" else "assistant"
    bodies = [body for body in server.bodies if body["messages"][-1]["role"] == last]
    server.bodies = [body for body in server.bodies if body not in bodies]
    asked = sorted([_words(m) for m in body["messages"]] for body in bodies)
    assert asked == sorted(_expected(item, setting) for item in items)
    for body in bodies:
        assert {name: body[name] for name in CONTINUED if name in body} == ({} if setting == "plain" else CONTINUED)
        assert body["temperature"] == 0 and 64 in (body.get("max_tokens"), body.get("max_completion_tokens"))


def _check_marks(items: list[Item], setting: str, marks: Mapping[str, float]) -> None:
    """`marks` per item are `correct` of what the server wrote, and not all alike."""
    rows = []
    for item in items:
        rows.append({"item_id": item.id, "model": "m", "setting": setting, "output": _output(item, setting)})
    graded = grade(items, [(f"row {n}", row) for n, row in enumerate(rows)])["m"][setting]
    ours = {name: float(graded.correct[n]) for n, name in enumerate(item_table(items).ids)}
    assert marks == ours and 0 < sum(ours.values()) < len(ours)


BOTH_SETTINGS = """
import sys, inspect_ai, task
tasks = [task.biomed_r1_task(stratum="reasoning", setting=setting) for setting in ("plain", "adversarial_0")]
inspect_ai.eval(tasks, model="openai-api/local/m", display="none", log_format="json", log_dir=sys.argv[1])
"""


@pytest.mark.slow
def test_inspect_marks_every_item_as_score_does(
    items: list[Item], frameworks: Path, answering: FaultyEndpoint, tmp_path: Path
) -> None:
    """Both settings in one interpreter: inspect_ai takes seconds to start."""
    export_folder(items, "inspect-ai", ExportConfig(settings=SETTINGS), tmp_path / "out")
    logs = tmp_path / "logs"
    _run(["-c", BOTH_SETTINGS, str(logs)], frameworks, tmp_path / "out", answering)
    reasoning = [item for item in items if item.is_reasoning]
    read = [json.loads(path.read_text(encoding="utf-8")) for path in logs.glob("*.json")]
    by_setting = {log["eval"]["task_args"]["setting"]: log for log in read}
    assert by_setting.keys() == set(SETTINGS)
    for setting, log in by_setting.items():
        _check_requests(answering, reasoning, setting)
        assert log["status"] == "success"
        by_id = {sample["id"]: sample["scores"]["extracted_letter"] for sample in log["samples"]}
        marks = {name: float(score["value"]["correct"]) for name, score in by_id.items()}
        _check_marks(reasoning, setting, marks)
        for item in reasoning:
            letter = extract(_output(item, setting), item.options)
            assert by_id[item.id].get("answer") == letter
            assert bool(by_id[item.id]["value"]["no_answer"]) is (letter is None)
        shown = {score["name"]: score["metrics"] for score in log["results"]["scores"]}
        expected = pytest.approx(sum(marks.values()) / len(marks))
        assert shown["correct"]["accuracy"]["value"] == expected
        assert shown["correct"]["grouped_reasoning"]["value"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_verifiers_rewards_every_item_as_grpo_does(
    setting: str, items: list[Item], frameworks: Path, answering: FaultyEndpoint, tmp_path: Path
) -> None:
    export_folder(items, "verifiers", ExportConfig(settings=SETTINGS), tmp_path / "out")
    arguments = json.dumps({"setting": setting, "stratum": "knowledge"})
    how = [
        "-m",
        "m",
        "-b",
        answering.url,
        "-k",
        "LOCAL_API_KEY",
        "-a",
        arguments,
        "-n",
        "-1",
        "-r",
        "1",
        "-t",
        "64",
        "-s",
        "-d",
    ]
    where = ["-o", str(tmp_path / "results"), "-C", "info", "--disable-env-server"]
    _run(
        ["-m", "verifiers.legacy.scripts.eval", "biomed-r1-env", *how, *where], frameworks, tmp_path / "out", answering
    )
    knowledge = {item.id: item for item in items if not item.is_reasoning}
    _check_requests(answering, list(knowledge.values()), setting)
    text = next((tmp_path / "results").rglob("results.jsonl")).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.split("\n") if line]
    assert not [row["error"] for row in rows if row.get("error")]
    by_id = {row["info"]["id"]: row for row in rows}
    marks = {name: row["correctness"] for name, row in by_id.items()}
    _check_marks(list(knowledge.values()), setting, marks)
    for name, item in knowledge.items():
        opening = (item.opening(0) or "") if setting != "plain" else ""
        ours = rewards(_output(item, setting), item.options, item.answer_idx, opening)
        row = by_id[name]
        assert row["answer_format"] == ours["format"] and row["self_correction"] == (ours["self_correction"] or 0.0)
        assert row["reward"] == pytest.approx(sum(WEIGHTS[k] * (ours[k] or 0.0) for k in WEIGHTS))
