"""What a run leaves: receipts, MLflow runs, manifests, a registered version, a report; and what a second run reuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from huggingface_hub import ModelCard

from components.errors import StageError
from components.platform import events, execution, logs
from components.platform.formats.parquet import count_rows
from components.platform.storage import s3, store
from components.platform.tables import read_rows
from components.platform.tracking import registry
from components.platform.tracking import runs as tracking
from components.questions.items import BENCHMARKS
from components.serving.deploy import smoke
from pipelines.local.run import _believe_receipts
from pipelines.settings.recipes import parse_recipe
from pipelines.settings.tasks import TASKS
from pipelines.settings.training_recipe import load_training_recipe

TRAINING = ("ingest", "classify", "stratify", "curate", "sft", "grpo")


@pytest.fixture
def client(finished: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.summary["mlflow_uri"])
    return MlflowClient()


def test_every_task_left_a_receipt_with_evidence(finished: Any) -> None:
    receipts = execution.read_receipts(finished.summary["s3_prefix"], finished.summary["run_id"])
    assert set(receipts) == set(TASKS)
    for task, receipt in receipts.items():
        assert receipt["state"] == "succeeded" and receipt["evidence"], task
        assert store.manifest_digest(store.read_manifest(receipt["uri"]) or {}) == receipt["digest"]
    assert receipts["sft"]["evidence"]["steps"] == 3 and receipts["grpo"]["evidence"]["steps"] == 2


def test_the_summary_says_what_was_made(finished: Any) -> None:
    summary = finished.summary
    digests = {m["name"]: m["weights_sha256"] for m in summary["models"]}
    # A random two-layer model earns no reward, so GRPO leaves it as it was; the slow test on real weights sees three.
    assert set(digests) == {"base", "sft", "grpo"} and digests["base"] != digests["sft"]
    recipe = load_training_recipe("smoke")
    items = 2 * len(BENCHMARKS)
    for name in ("base", "sft", "grpo"):
        settings = recipe.evaluation(name).settings
        assert finished.stage(f"evaluate-{name}")["evidence"]["rows_out"] == items * len(settings)
    keys = {"run_id", "stages", "scores", "gate", "model_version", "models", "answers_uri", "report", "mlflow_uri"}
    assert keys | {"mlflow_run_id", "s3_prefix", "gpu_seconds"} <= set(summary)
    assert summary["gate"]["decision"] in ("promote", "refuse") and summary["gate"]["reasons"]
    assert "Gate:" in finished.stdout and summary["report"] in finished.stdout


def test_answers_are_there_for_every_item_and_setting(finished: Any, tmp_path: Path) -> None:
    uri, _, name = finished.summary["answers_uri"]["grpo"].rpartition("/")
    store.get_file(uri, name, tmp_path / name)
    rows = read_rows(tmp_path / name)
    assert len({(r["item_id"], r["setting"]) for r in rows}) == len(rows) == 88


def test_no_secret_is_in_what_a_run_leaves(finished: Any, canary: str, servers: Mapping[str, str], _home: Path) -> None:
    """Its folder with logs and compiled pipeline, its MLflow records, its objects, what it printed."""
    run, prefix = Path(finished.summary["report"]).parent, finished.summary["s3_prefix"]
    texts = {"stdout": finished.stdout.encode(), "stderr": finished.stderr.encode()}
    for folder in (run, _home / "servers/mlflow"):
        texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    for name in store.list_files(prefix):
        if not name.endswith(".safetensors"):
            body = s3.client().get_object(Bucket=bucket, Key=f"{key}/{name}")["Body"]
            texts[f"{prefix}/{name}"] = body.read()
    # A task's name is in each of them, so a scan that read the wrong place does not pass.
    holding = [where for where, text in texts.items() if b"evaluate-base" in text]
    for kind in ("stderr", str(run), str(_home), prefix):
        assert any(where.startswith(kind) for where in holding), f"nothing of {kind} was read"
    secrets = (canary.encode(), servers["AWS_SECRET_ACCESS_KEY"].encode())
    assert [where for where, text in texts.items() if any(secret in text for secret in secrets)] == []


def test_every_stage_under_one_parent_in_mlflow(finished: Any, client: Any) -> None:
    parent = finished.summary["mlflow_run_id"]
    experiment = client.get_run(parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {c.info.run_name for c in children} == set(TASKS)
    assert len({c.data.tags["biomed_r1.stage"] for c in children}) == 11
    assert {c.info.status for c in (*children, client.get_run(parent))} == {"FINISHED"}
    by_name = {c.info.run_name: c for c in children}
    for task in set(TASKS) - {"evaluate-champion", "register", "report", "promote"}:
        assert by_name[task].data.metrics, task
    inputs = {d.dataset.name for d in by_name["ingest"].inputs.dataset_inputs}
    assert inputs == {"benchmarks", "train", "labels"}
    for task in ("classify", "stratify", "curate", "sft", "grpo", "evaluate-base"):
        assert by_name[task].inputs.dataset_inputs, task
    assert len(client.get_metric_history(by_name["sft"].info.run_id, "loss")) == 3


def test_data_sets_in_mlflow_are_where_they_are_and_as_long(finished: Any, client: Any) -> None:
    """And not a folder that was deleted when the task ended."""
    experiment = client.get_run(finished.summary["mlflow_run_id"]).info.experiment_id
    children = client.search_runs([experiment], f"tags.`{tracking.RUN_TAG}` = '{finished.summary['run_id']}'")
    used = [data.dataset for child in children for data in child.inputs.dataset_inputs]
    assert len(used) >= 10
    for data in used:
        uri = mlflow.data.get_source(data).uri
        assert uri.startswith(finished.summary["s3_prefix"]), data
        assert json.loads(data.profile) == {"num_rows": count_rows(uri)} != {"num_rows": 0}, data


def test_the_parent_says_what_it_is_and_has_the_files(finished: Any, client: Any) -> None:
    parent = client.get_run(finished.summary["mlflow_run_id"])
    assert finished.summary["mlflow_run_url"].endswith(f"/runs/{parent.info.run_id}")
    assert finished.summary["mlflow_run_url"] in finished.stdout
    note = parent.data.tags["mlflow.note.content"]
    assert (
        load_training_recipe("smoke").description in note
        and "Gate: " in note
        and "artifacts/report/report.html" in note
    )
    assert parent.data.tags["mlflow.source.name"] == "biomed-r1 run --recipe smoke"
    folders = {
        entry.path: {f.path for f in client.list_artifacts(parent.info.run_id, entry.path)}
        for entry in client.list_artifacts(parent.info.run_id)
    }
    assert "recipe.yaml" in folders and "report/report.html" in folders["report"]
    assert {"compare/scores.json", "compare/scores.png", "compare/decision.json"} <= folders["compare"]
    assert {"classify/confusion.png", "classify/roc.png"} <= folders["classify"]
    assert "sft/curves.png" in folders["sft"] and "grpo/curves.png" in folders["grpo"]
    assert folders["register"] == {"register/model_card.md"}
    recipe = Path(client.download_artifacts(parent.info.run_id, "recipe.yaml")).read_text()
    assert parse_recipe(json.dumps(yaml.safe_load(recipe))).digest() == parent.data.tags["recipe_digest"]


def test_no_question_text_in_mlflow(finished: Any, client: Any, tmp_path: Path) -> None:
    uri = finished.stage("ingest")["uri"]
    store.get_file(uri, "benchmarks.parquet", tmp_path / "b.parquet")
    questions = [row["question"][:60] for row in read_rows(tmp_path / "b.parquet")]
    experiment = client.get_run(finished.summary["mlflow_run_id"]).info.experiment_id
    recorded = json.dumps([r.to_dictionary() for r in client.search_runs([experiment])])
    assert not [q for q in questions if json.dumps(q)[1:-1] in recorded]


def test_a_finished_training_leaves_no_checkpoints(finished: Any) -> None:
    root = finished.summary["s3_prefix"]
    assert {finished.stage(stage)["evidence"]["resumed_from_step"] for stage in ("sft", "grpo")} == {0}
    assert not [path for path in store.list_files(f"{root}/checkpoints") if path.startswith(("sft/", "grpo/"))]


def test_a_version_is_registered_with_its_lineage(finished: Any, client: Any) -> None:
    version = client.get_model_version(registry.MODEL, finished.summary["model_version"])
    assert version.source == next(m["uri"] for m in finished.summary["models"] if m["name"] == "grpo")
    assert store.exists(version.source)
    assert version.tags["gate.decision"] == finished.summary["gate"]["decision"]
    assert {"recipe_digest", "git_revision", "dataset.mix", "model_digest"} <= set(version.tags)
    assert "never for clinical decisions" in version.description
    parent = finished.summary["mlflow_run_id"]
    assert f"/runs/{parent}/artifacts/report/report.html" in version.description
    assert "AutoModelForCausalLM" in version.description and version.run_id == parent


def test_the_card_tells_the_run(finished: Any, tmp_path: Path) -> None:
    store.get_file(finished.stage("register")["uri"], "model_card.md", tmp_path / "model_card.md")
    card = ModelCard((tmp_path / "model_card.md").read_text())
    cells = [c for c in finished.summary["scores"]["cells"] if c["model"] == "grpo" and c["benchmark"] == "all"]
    assert len(card.data.eval_results) == len(cells) >= 15
    weights = {m["name"]: m["weights_sha256"] for m in finished.summary["models"]}
    assert f"base weights sha256 `{weights['base']}`, these `{weights['grpo']}`" in card.text
    assert "| Supervised fine-tuning | 3 steps" in card.text and "not recorded" not in card.text


def test_the_answers_that_a_deployment_is_compared_with_are_recorded(finished: Any) -> None:
    recorded = smoke.read(next(m["uri"] for m in finished.summary["models"] if m["name"] == "grpo"))
    assert recorded and [len(q["tokens"]) for q in recorded["questions"]] == [8, 8, 8]


def test_what_the_gate_refused_is_not_promoted(finished: Any) -> None:
    asked = finished.summary["promotion"]
    assert (finished.summary["gate"]["decision"], asked["outcome"]) == ("refuse", "refused")
    assert asked["version"] == finished.summary["model_version"] and "the gate refused it" in asked["reasons"][0]
    assert f"version {asked['version']} refused: the gate refused it" in finished.stdout


def test_the_classifier_is_registered_with_its_table(finished: Any, client: Any) -> None:
    uri = finished.stage("classify")["uri"]
    versions = [v for v in client.search_model_versions(f"name = '{registry.CLASSIFIER}'") if v.source == uri]
    assert len(versions) == 1, "a reused classifier is the version it already has"
    assert "| TF-IDF + logistic regression |" in versions[0].description
    auroc = finished.stage("classify")["evidence"]["table"]["combination"]["auroc"]["estimate"]
    assert float(versions[0].tags["auroc"]) == pytest.approx(auroc)


def test_no_stratum_is_in_sample(finished: Any, tmp_path: Path) -> None:
    store.get_file(finished.stage("stratify")["uri"], "items.parquet", tmp_path / "items.parquet")
    rows = read_rows(tmp_path / "items.parquet")
    store.get_file(finished.stage("ingest")["uri"], "labels.parquet", tmp_path / "labels.parquet")
    learnt = {row["group_id"] for row in read_rows(tmp_path / "labels.parquet")}
    sources = {row["group_id"]: json.loads(row["meta"])["prob_source"] for row in rows}
    assert learnt & set(sources), "a smoke run learns from questions that it evaluates"
    for group, source in sources.items():
        assert source == ("out_of_fold" if group in learnt else "classifier"), group
    kept = store.list_children(finished.stage("stratify")["uri"])
    assert {"nearest.html", "share-curve.png"} <= set(kept)


def test_the_report_is_one_file(finished: Any) -> None:
    page = Path(finished.summary["report"]).read_text()
    assert "<html" in page and "clinical" in page
    assert not [x for x in ('src="http', 'rel="stylesheet"', "<script src", "@import") if x in page]


@pytest.fixture(scope="module")
def repeated(finished: Any, smoke: Callable[..., Any]) -> Any:
    return smoke()


def test_nothing_changed_means_everything_is_reused(finished: Any, repeated: Any) -> None:
    assert repeated.code == 0, repeated.stderr
    # A promotion is asked for in every run: one that is taken from a store would be a lie.
    assert [s["name"] for s in repeated.summary["stages"] if not s["reused"]] == ["promote"]
    for key in ("scores", "gate", "models", "model_version"):
        assert repeated.summary[key] == finished.summary[key]


@pytest.mark.slow
def test_a_reused_stage_imports_nothing_heavy(finished: Any, smoke: Callable[..., Any]) -> None:
    repeated = smoke(alone=True)  # receipts say what each task's own process imported
    receipts = execution.read_receipts(repeated.summary["s3_prefix"], repeated.summary["run_id"])
    assert {task: r["imported"] for task, r in receipts.items() if r["imported"]} == {}


@pytest.fixture(scope="module")
def with_champion(finished: Any, smoke: Callable[..., Any]) -> Any:
    """A run with one evaluation setting changed, while the finished run's version is the champion."""
    from mlflow import MlflowClient

    client = MlflowClient(finished.summary["mlflow_uri"])
    client.set_registered_model_alias(registry.MODEL, registry.CHAMPION, finished.summary["model_version"])
    try:
        # Two evaluations are asked otherwise (in another order); those of the other two models stay.
        grpo = "adversarial_2,adversarial_1,adversarial_0,plain"
        champion = "adversarial_2,adversarial_1,plain,adversarial_0"
        return smoke("--set", f"asked.grpo={grpo}", "--set", f"asked.champion={champion}")
    finally:
        client.delete_registered_model_alias(registry.MODEL, registry.CHAMPION)


def test_an_evaluation_setting_retrains_nothing(with_champion: Any) -> None:
    assert with_champion.code == 0, with_champion.stderr
    assert all(with_champion.stage(task)["reused"] for task in TRAINING)
    assert not with_champion.stage("evaluate-grpo")["reused"]


def test_a_champion_is_evaluated_and_becomes_the_baseline(with_champion: Any) -> None:
    asked = with_champion.stage("evaluate-champion")
    assert asked["evidence"]["rows_out"] == 88 and not asked["reused"]
    gate = with_champion.summary["gate"]
    assert (gate["baseline"], gate["decision"]) == ("champion", "refuse")


def test_a_stage_that_raises_fails_the_run_and_is_named(finished: Any, smoke: Callable[..., Any]) -> None:
    run = smoke("--set", "stratify.seed=5", BIOMED_R1_FAULT="stratify:raise")
    assert run.code == 1
    assert "stage stratify failed" in run.stderr and "logs/stratify.log" in run.stderr
    log = Path(run.stderr.split("its log: ")[1].splitlines()[0])
    assert "fault planted" in log.read_text()
    assert run.summary == {}


@pytest.mark.parametrize("killed", [True, False])
def test_a_task_that_was_killed_is_told_apart_from_one_that_raised(
    killed: bool, store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(events.RUN_FOLDER_VARIABLE, str(tmp_path))
    log = logs.log_path(tmp_path, "sft")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("progress: sft step (loss 2.871) 87/90\n" + ("" if killed else "StageError: no trace is left\n"))
    if killed:
        events.event("sft", "started")  # and SIGKILL: nothing else is written
    else:
        with pytest.raises(StageError), events.events_of("sft"):
            raise StageError("no trace is left")
    with pytest.raises(StageError, match="stage sft failed") as told:
        _believe_receipts(tmp_path, "run-1", ["sft"])
    words = str(told.value)
    assert ("it was killed" in words) is killed
    assert ("87/90" if killed else "no trace is left") in words
