"""Whole runs whose stages are containers: real images on a real Docker Engine, against the suite's S3 and MLflow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests_support import docker_image, smoke_command

from components.platform import execution, tables
from components.platform.storage import store
from components.tasks.guard import RECEIPTS
from pipelines.local.docker_runner import LABEL
from pipelines.settings.tasks import TASKS
from pipelines.settings.training_recipe import load_training_recipe

pytestmark = pytest.mark.slow
CANARY = f"canary-{uuid.uuid4().hex}"
# A password that MLflow here does not ask for; containers get it as they would a real one.
SECRETS = {"MLFLOW_TRACKING_USERNAME": "somebody", "MLFLOW_TRACKING_PASSWORD": CANARY}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def image() -> str:
    return docker_image()


@pytest.fixture(scope="module")
def runs(image: str, smoke: Callable[..., Any]) -> dict[str, Any]:
    """The smoke recipe, on its real weights, by subprocesses and by containers: each fresh, below its own prefix."""
    done = {}
    for runner in ("subprocess", "docker"):
        own = {"BIOMED_R1_STORE": f"s3://biomed-r1/{runner}-{uuid.uuid4().hex[:8]}", "BIOMED_R1_CPU_IMAGE": image}
        as_shipped = f"base_model={load_training_recipe('smoke').base_model}"
        arguments = ("--set", as_shipped, "--runner", runner, "--fresh")
        done[runner] = smoke(*arguments, timeout=1800, **own, **SECRETS)
        assert done[runner].code == 0, done[runner].stderr
    return done


@pytest.fixture(scope="module")
def receipts(runs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: execution.read_receipts(r.summary["s3_prefix"], r.summary["run_id"]) for k, r in runs.items()}


def test_no_stage_was_reused(receipts: Mapping[str, Any]) -> None:
    for runner in receipts:
        assert [task for task in TASKS if receipts[runner][task]["reused"]] == []


def test_every_stage_ran_without_root_on_a_read_only_root(receipts: Mapping[str, Any]) -> None:
    inside = {task: (receipt["user"], receipt["root_read_only"]) for task, receipt in receipts["docker"].items()}
    assert inside == dict.fromkeys(TASKS, (10001, True))
    assert not any(receipt["root_read_only"] for receipt in receipts["subprocess"].values())


def test_every_stage_ran_in_a_container_of_its_own_and_none_is_left(runs: Mapping[str, Any]) -> None:
    run_id = runs["docker"].summary["run_id"]
    label = f"label={LABEL}={run_id}"
    ended = docker("events", "--since=2h", "--until=0s", "--filter", label, "--filter", "event=die", "--format={{.ID}}")
    assert len(set(ended.split())) == len([*TASKS, RECEIPTS])
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""


def test_both_runners_compute_the_same(runs: Mapping[str, Any], tmp_path: Path) -> None:
    weights, answers = {}, {}
    for runner, run in runs.items():
        weights[runner] = {m["name"]: m["weights_sha256"] for m in run.summary["models"]}
        rows = []
        for name in ("base", "sft", "grpo"):
            uri, _, file = run.summary["answers_uri"][name].rpartition("/")
            store.get_file(uri, file, tmp_path / f"{runner}-{name}.parquet")
            rows += tables.read_rows(tmp_path / f"{runner}-{name}.parquet")
        answers[runner] = {(r["model"], r["setting"], r["item_id"]): (r["extracted"], r["output"]) for r in rows}
    assert len(answers["docker"]) == 22 * (4 + 1 + 4)
    assert any(extracted for extracted, _ in answers["docker"].values())
    assert answers["docker"] == answers["subprocess"]
    assert weights["docker"] == weights["subprocess"] and len(set(weights["docker"].values())) == 3
    scores = {runner: run.summary["scores"] for runner, run in runs.items()}
    for recorded in (answers for both in scores.values() for answers in both["versions"]["answers"].values()):
        # Where the weights lie is what differs: a container finds them in the store. Their digests are equal.
        del recorded["model_reference"]
    assert list(differences(scores["docker"], scores["subprocess"])) == []


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Where two records differ, floats by more than 1e-9: the image's C library rounds log and exp its own way."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{at}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{at}/{place}")
    elif isinstance(one, float) and isinstance(other, float):
        if one != pytest.approx(other, rel=1e-9, abs=1e-12):
            yield f"{at}: {one} {other}"
    elif one != other:
        yield f"{at}: {one} {other}"


def test_no_secret_is_in_what_a_run_leaves(runs: Mapping[str, Any], servers: Mapping[str, str]) -> None:
    run = runs["docker"]
    folder = Path(run.summary["report"]).parent
    texts = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {"stdout": run.stdout.encode(), "stderr": run.stderr.encode()}
    assert len(texts) > len(TASKS)
    secrets = (CANARY.encode(), servers["AWS_SECRET_ACCESS_KEY"].encode())
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []


@pytest.fixture
def failing(image: str, smoke: Callable[..., Any], environment: dict[str, str]) -> Iterator[Callable[[str], Any]]:
    """Runs in containers with a fault planted in one of them."""

    def run(fault: str) -> Any:
        return smoke("--runner", "docker", "--fresh", BIOMED_R1_FAULT=fault, BIOMED_R1_CPU_IMAGE=image)

    yield run


def runs_log(run: Any, name: str) -> str:
    folder = Path(run.stderr.split("its log: ")[1].splitlines()[0]).parent.parent
    return (folder / name).read_text()


def test_a_stage_that_raises_in_its_container_is_named(failing: Callable[[str], Any]) -> None:
    run = failing("ingest:raise")
    assert run.code == 1 and run.summary == {}
    assert "stage ingest failed: RuntimeError: fault planted at ingest" in run.stderr


def test_a_stage_that_the_runner_calls_a_success_is_not_believed(failing: Callable[[str], Any]) -> None:
    """It left no receipt, so it did not happen, although KFP said otherwise and went on to the next."""
    run = failing("ingest:vanish")
    said = runs_log(run, "pipeline.log")
    assert "SUCCESS" in said.split("'classify'")[0] and "FAILURE" not in said.split("'classify'")[0]
    assert run.code == 1 and run.summary == {}
    assert "stage ingest failed" in run.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_container(
    sent: signal.Signals, code: int, image: str, environment: dict[str, str], tmp_path: Path
) -> None:
    own = {"BIOMED_R1_CPU_IMAGE": image, "BIOMED_R1_FAULT": "ingest:sleep=120"}
    command = smoke_command("--runner", "docker", "--fresh", "--json", str(tmp_path / "out.json"))
    process = subprocess.Popen(
        command, env={**environment, **own}, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr
    run_id = next(line.split()[1].rstrip(":") for line in process.stderr if line.startswith("run "))
    ours = ("ps", "--all", "--quiet", "--filter", f"label={LABEL}={run_id}")
    deadline = time.monotonic() + 120
    while not docker(*ours) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert docker(*ours)
    process.send_signal(sent)
    try:
        assert process.wait(60) == code
    finally:
        process.kill()
    assert docker(*ours) == ""


def test_stage_code_has_the_same_digest_inside(image: str) -> None:
    """Keys are equal wherever a stage runs, given the same versions of what is pinned."""
    script = (
        "import json; from components.platform import lineage as l;"
        "stages = ['ingest', 'classify', 'stratify', 'curate', 'sft', 'grpo', 'evaluate', 'compare', 'report'];"
        "l._version = lambda name: '1';"
        "print(json.dumps({s: l.code_digest('components.stages.' + s) for s in stages}))"
    )
    here = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    inside = docker("run", "--rm", "--network=none", image, "python", "-c", script)
    assert json.loads(inside) == json.loads(here.stdout)
