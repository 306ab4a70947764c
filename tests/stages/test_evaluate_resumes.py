"""An evaluation that was killed goes on where it was: answered rows are kept byte for byte and not asked again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from faulty_endpoint import FaultyEndpoint, asked, endpoint

from components.errors import InputError, StageError
from components.platform.execution import read_receipts, receipts_uri
from components.platform.storage import store
from components.platform.storage.journal import Journal
from components.platform.storage.plan import Plan, PlannedModel, write
from components.platform.tables import read_metadata, read_rows, write_items
from components.questions.items import Item
from components.stages.evaluate import EvaluateConfig, evaluate
from pipelines.cli.evaluation import evaluate_command

OPTIONS = {"A": "gout", "B": "scurvy", "C": "rickets", "D": "beriberi"}
ITEMS, TOTAL = 15, 60
CANARY = "sk-canary-71b0e2"


@pytest.fixture
def items(tmp_path: Path) -> Path:
    openings = {f"adversarial_trace_{k}": f"Hmm, perhaps {letter}." for k, letter in enumerate("ACD")}
    made = [Item(f"q{n}", f"What is case {n}?", OPTIONS, "B", "medqa", **openings) for n in range(ITEMS)]
    write_items(made, tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


def config(server: FaultyEndpoint, **changes: Any) -> EvaluateConfig:
    quick = {"timeout_seconds": 5, "backoff_seconds": 0.01, "concurrency": 4, "max_new_tokens": 16}
    return EvaluateConfig(base_url=server.url, **{**quick, **changes})


def start(items: Path, model: str, *words: str) -> subprocess.Popen[bytes]:
    """`biomed-r1 evaluate` in a process of its own."""
    command = [sys.executable, "-m", "pipelines.cli", "evaluate", "--model", model, "--items", str(items)]
    command += [
        "--out",
        str(items.parent / "out"),
        "--name",
        "m",
        "--json",
        str(items.parent / "evidence.json"),
        *words,
    ]
    return subprocess.Popen(command, env={**os.environ, "OPENAI_API_KEY": CANARY}, stderr=subprocess.PIPE)


def kept(folder: Path) -> dict[str, Any]:
    """What the journal in `folder` holds, by request."""
    found: dict[str, Any] = {}
    for part in folder.rglob("*.jsonl"):
        lines = part.read_text(encoding="utf-8").splitlines()
        key = json.loads(lines[0].partition(" ")[2])["key"]
        found |= Journal(str(folder), key).read()
    return found


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()


def outputs(folder: Path) -> dict[str, str]:
    rows = read_rows(folder / "out" / "answers.parquet")
    return {f"item {row['item_id']} ({row['setting']})": row["output"] for row in rows}


def test_killed_and_resumed(items: Path) -> None:
    folder, journal = items.parent, items.parent / "out" / "answers.journal"
    words = ["--set", "concurrency=4", "--set", "max_new_tokens=16"]
    with endpoint() as server:
        server.stop_after, server.remark = 24, " First."
        server.open.clear()
        process = start(items, "openai:some-model", "--base-url", server.url, *words)
        kill_when(process, lambda: len(server.bodies) == 28 and len(kept(journal)) == 24)
        before = kept(journal)
        server.stop_after, server.remark = None, " Second."
        server.open.set()
        first = [asked(body) for body in server.bodies[:24]]
        server.bodies.clear()
        process = start(items, "openai:some-model", "--base-url", server.url, *words)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        again = Counter(asked(body) for body in server.bodies)
    evidence = json.loads((folder / "evidence.json").read_text())
    assert (evidence["asked"], evidence["resumed"], evidence["requests"]) == (36, 24, 36)
    assert again.total() == 36 and set(again.values()) == {1} and not again.keys() & set(first)
    after = outputs(folder)
    assert len(after) == TOTAL
    assert {name: after[name] for name in before} == {name: value["text"] for name, value in before.items()}
    assert Counter(text.split()[-1] for text in after.values()) == {"First.": 24, "Second.": 36}
    assert not journal.exists()
    # The scores are those of an evaluation that nobody disturbed.
    with endpoint() as server:
        whole = evaluate(items, "openai:some-model", "m", config(server), folder / "whole.parquet")
    assert whole["settings"] == evidence["settings"]
    assert CANARY not in errors.decode() and not [f for f in folder.rglob("*") if f.is_file() and holds_key(f)]


def test_a_report_that_fails_does_not_cost_the_answers(items: Path) -> None:
    out = items.parent / "out"
    with endpoint() as server:
        words = ["--model", "openai:m", "--items", str(items), "--out", str(out), "--base-url", server.url]
        (out / "report.html").mkdir(parents=True)
        assert CliRunner().invoke(evaluate_command, words).exit_code != 0 and len(server.bodies) == TOTAL
        (out / "report.html").rmdir()
        done = CliRunner().invoke(evaluate_command, words)
        assert done.exit_code == 0 and len(server.bodies) == TOTAL, done.output
    assert (out / "report.html").is_file() and not (out / "answers.journal").exists()


def holds_key(path: Path) -> bool:
    if path.suffix == ".parquet":
        return CANARY in repr((read_rows(path), read_metadata(path)))
    return CANARY.encode() in path.read_bytes()


def test_a_spent_budget_is_resumed_and_says_so(items: Path) -> None:
    folder, journal = items.parent, str(items.parent / "journal")
    with endpoint(seed=7, fault_rate=0.2, hang_seconds=0.01) as server:
        again = rf"max_requests: all 25 were sent. (\d+) of {TOTAL} are answered and kept in .*asks only the others"
        answered, runs = 0, 0
        evidence: dict[str, Any] = {}
        while not evidence:
            sent = len(server.bodies)
            try:
                evidence = evaluate(
                    items, "openai:some-model", "m", config(server, max_requests=25), folder / "a.parquet", journal
                )
            except StageError as error:
                with pytest.raises(StageError, match=again):
                    raise
                assert not (folder / "a.parquet").exists()
                answered = server.answered.total()
                assert f" {answered} of {TOTAL} are answered" in str(error)
            runs += 1
            assert len(server.bodies) - sent <= 25 and runs < 6
        assert runs > 2 and evidence["resumed"] == answered and evidence["asked"] == TOTAL - answered
        assert set(server.answered.values()) == {1} and len(server.answered) == TOTAL


def test_answers_of_another_evaluation_are_not_taken_over(items: Path) -> None:
    folder, journal = items.parent, str(items.parent / "journal")
    with endpoint() as server:
        asked_now = []
        every: tuple[dict[str, Any], ...] = (
            {},
            {},
            {"max_requests": 100},
            {"max_new_tokens": 17},
            {"prompt": "stepwise"},
            {"limit": 9},
            {"prefill_mode": "continued"},
            {"extra_body": {"reasoning_effort": "low"}},
            {"send_sampling": False},
        )
        for changes in every:
            evidence = evaluate(
                items, "openai:some-model", "m", config(server, **changes), folder / "a.parquet", journal
            )
            asked_now.append(evidence["asked"])
        other = evaluate(items, "openai:other", "m", config(server), folder / "a.parquet", journal)
    assert asked_now == [60, 0, 0, 60, 60, 36, 60, 60, 60] and other["asked"] == 60


def test_what_stands_in_the_table(items: Path) -> None:
    with endpoint() as server:
        out = items.parent / "a.parquet"
        evidence = evaluate(items, "openai:some-model", "m", config(server, send_sampling=False), out)
    metadata = read_metadata(out)
    assert metadata["model_reference"] == "openai:some-model" and metadata["weights_sha256"] == ""
    assert server.url.split("/")[2] in metadata["engine"] and "two_turn:" in metadata["engine"]
    assert json.loads(metadata["decoding"]) == {"max_new_tokens": 16, "sampling": "the endpoint's own"}
    assert {row["prefill_mode"] for row in read_rows(out)} == {"two_turn"}
    assert evidence["reported_models"] == ["some-model-2025-01-31"]
    assert {row["reported_model"] for row in read_rows(out)} == {"some-model-2025-01-31"}


@pytest.mark.parametrize(
    ("model", "engine"), [("openai:some-model", "vllm"), ("openai:some-model", "transformers"), ("folder", "openai")]
)
def test_engine_and_model_must_fit(model: str, engine: str, items: Path) -> None:
    with pytest.raises(InputError, match="openai:NAME goes with engine openai"):
        evaluate(items, model, "m", EvaluateConfig(engine=engine), items.parent / "a.parquet")


def test_a_name_is_needed(items: Path) -> None:
    with pytest.raises(InputError, match="write openai:NAME"):
        evaluate(items, "openai:", "m", EvaluateConfig(), items.parent / "a.parquet")


# The task that the KFP component calls, as a pod runs it.
TASK = """
import sys
from components.tasks import training
training.evaluate("openai:some-model", "m", sys.argv[1], "r")
"""


def planned(items: Path, settings: EvaluateConfig) -> str:
    """The digest of a plan that asks one model; it, the questions and `stratify`'s receipt are written to the store."""
    root = os.environ["BIOMED_R1_STORE"]
    folder = items.parent / "stored"
    folder.mkdir(exist_ok=True)
    shutil.copy(items, folder / "items.parquet")
    store.put_dir(folder, f"{root}/items", stage="stratify", key="k")
    store.put_json(f"{receipts_uri(root, 'r')}/stratify.json", {"uri": f"{root}/items"})
    model = PlannedModel(name="m", reference="openai:some-model", evaluate=settings.model_dump(mode="json"))
    plan = Plan(tags={}, data={}, stages={}, models=(model,))
    return write(root, plan.text).digest


def component(items: Path, settings: EvaluateConfig) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", TASK, planned(items, settings)], stderr=subprocess.PIPE)


def test_a_task_that_ended_early_is_resumed_from_the_store(
    items: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.tasks import training

    def run(server: FaultyEndpoint, budget: int) -> None:
        """What TASK does, in this process."""
        plan = planned(items, config(server, max_requests=budget))
        answered = training.evaluate("openai:some-model", "m", plan, "r")
        store.get_file(answered, "answers.parquet", items.parent / "answers.parquet")

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    journals = f"{store_uri}/checkpoints/evaluate"
    with endpoint() as server:
        server.planned = [(500, {}, {"error": {"message": f"not with {CANARY}", "code": CANARY}})]
        server.remark = f" {CANARY}"  # what a careless model server might say
        with pytest.raises(StageError, match=rf"24 of {TOTAL} are answered and kept in {journals}"):
            run(server, 25)
        assert store.list_files(journals)
        run(server, 36)
        assert set(server.answered.values()) == {1} and len(server.bodies) == TOTAL + 1
    evidence = read_receipts(store_uri, "r")["evaluate-m"]["evidence"]
    assert (evidence["asked"], evidence["resumed"]) == (36, 24)
    assert len(read_rows(items.parent / "answers.parquet")) == TOTAL and not store.list_files(journals)
    # Every byte that the store, MLflow and their logs have on this disk, and the table.
    assert holding("openai:some-model") and not holding(CANARY)
    assert not holds_key(items.parent / "answers.parquet")


def holding(text: str) -> list[Path]:
    """Files of the embedded servers that contain a text."""
    files = [path for path in Path(os.environ["BIOMED_R1_HOME"]).rglob("*") if path.is_file()]
    return [path for path in files if "models" not in path.parts and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_killed_pod_is_resumed_from_the_store(items: Path, store_uri: str) -> None:
    """Nothing of the first one's disk is needed; at most the last few seconds' answers are asked for again."""
    journals = f"{store_uri}/checkpoints/evaluate"
    with endpoint() as server:
        server.delay = 0.5
        kill_when(component(items, config(server)), lambda: bool(store.list_files(journals)))
        server.delay, first = 0.0, len(server.bodies)
        assert first < TOTAL
        process = component(items, config(server))
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        evidence = read_receipts(store_uri, "r")["evaluate-m"]["evidence"]
        assert evidence["resumed"] >= first - 16 and evidence["asked"] == len(server.bodies) - first
        assert evidence["asked"] + evidence["resumed"] == TOTAL and not store.list_files(journals)


@pytest.mark.slow
def test_a_local_model_killed_and_resumed(items: Path, smollm: Path) -> None:
    """The transformers engine: a batch of answers at a time; in float32 a row does not depend on its neighbours."""
    folder, journal = items.parent, items.parent / "out" / "answers.journal"
    fields = {"dtype": "float32", "batch_size": 4, "max_new_tokens": 8, "limit": 6}
    words = ["--engine", "transformers", *(w for name, value in fields.items() for w in ("--set", f"{name}={value}"))]
    process = start(items, str(smollm), *words)
    kill_when(process, lambda: len(kept(journal)) >= 8)
    before = kept(journal)
    assert 8 <= len(before) < 24
    process = start(items, str(smollm), *words)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    evidence = json.loads((folder / "evidence.json").read_text())
    assert (evidence["asked"], evidence["resumed"]) == (24 - len(before), len(before))
    after = outputs(folder)
    assert {name: after[name] for name in before} == {name: value["text"] for name, value in before.items()}
    whole = EvaluateConfig(engine="transformers", **fields)
    undisturbed = evaluate(items, str(smollm), "m", whole, folder / "whole.parquet")
    assert undisturbed["settings"] == evidence["settings"]
    assert read_rows(folder / "whole.parquet") == read_rows(folder / "out" / "answers.parquet")
