"""`submit --wait` and `watch`: what they tell of a run, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings.tasks import TASKS
from tests.pipelines.cluster_verbs import SMOKE, Verb
from tests.pipelines.kfp_server import KfpServer


def submit(verb: Verb, kfp: KfpServer, *more: str) -> Any:
    return verb("submit", *SMOKE, "--host", kfp.url, *more)


def details(*tasks: tuple[str, str]) -> dict[str, Any]:
    """run_details of (KFP's name, state), with the fields that KFP fills in, each task as wrapper and attempt."""
    listed: list[dict[str, Any]] = []
    for number, (name, state) in enumerate(tasks):
        pod = [{"pod_name": f"biomed-r1-training-abcde-{number}"}]
        listed.append({"display_name": name, "state": state, "task_id": f"{number}", "child_tasks": pod})
        listed.append({"display_name": f"{name}(0)", "state": state, "task_id": f"{number}-0"})
    return {"run_details": {"task_details": listed}}


def recorded(name: str) -> dict[str, Any]:
    """What KFP answered for a run of a real cluster."""
    if not CLUSTER.is_dir():
        pytest.skip("BIOMED_R1_DATA holds no recordings of a cluster")
    run: dict[str, Any] = json.loads((CLUSTER / name / "run.json").read_text())
    return {key: run[key] for key in ("state", "run_details", "pipeline_spec") if key in run}


CLUSTER = Path(os.environ.get("BIOMED_R1_DATA", "/nowhere")) / "cluster"
RUNNING = {"state": "RUNNING"} | details(("root", "RUNNING"), ("ingest", "RUNNING"))


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOMED_R1_STORE", raising=False)


def test_waiting_tells_each_change_once_and_ends_with_the_run(kfp: KfpServer, verb: Verb) -> None:
    done = details(("root", "SUCCEEDED"), ("ingest", "SUCCEEDED"))
    kfp.script = [{"state": "PENDING"}, RUNNING, RUNNING, {"state": "SUCCEEDED"} | done]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 0
    assert [line.split()[1:] for line in ended.stderr.splitlines()] == [
        ["run", "PENDING"], ["ingest", "RUNNING"], ["run", "RUNNING"], ["ingest", "SUCCEEDED"], ["run", "SUCCEEDED"],
    ]  # fmt: skip


NO_REASON = "no reason in the store; its log, while its pod is there: kubectl logs --selector pipeline/runid="


@pytest.mark.parametrize(
    ("recording", "named"),
    [
        ("fact-exit1", f"ended FAILED: task act-2 ({NO_REASON}"),
        ("fact-oom", f"ended FAILED: task act-2 ({NO_REASON}"),
        ("fact-sleep", f"ended FAILED: task act-2 ({NO_REASON}"),
        ("smoke-fresh-install", f"ended FAILED: task evaluate-champion ({NO_REASON}"),
        (
            "evaluation-loop-leak",
            "ended FAILED: the driver of `exit-handler-1` failed, so that none of its tasks ran; ",
        ),
        ("paper-models", "ended FAILED: no task failed, and the driver of `root` had not ended; Argo's reason: "),
    ],
)
def test_a_recorded_failure_is_named_as_the_pipeline_calls_it(
    kfp: KfpServer, verb: Verb, recording: str, named: str
) -> None:
    kfp.script = [recorded(recording)]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 1
    assert named in ended.stderr.splitlines()[-1]
    told = [line.split()[1] for line in ended.stderr.splitlines()[:-1] if re.match(r"\d\d:\d\d:\d\d", line)]
    assert len(told) == len(set(told)), "each once"
    assert not [name for name in told if re.search(r"\(|^root|driver|executor|exit-handler|biomed-r1-", name)]


def test_a_recorded_success_is_told_by_its_receipts(kfp: KfpServer, verb: Verb, store_uri: str) -> None:
    """KFP shows compare-driver PENDING in this finished run, and neither report nor register."""
    from components.platform import execution
    from components.platform.storage import store

    kfp.script = [recorded("smoke-succeeded")]
    submit(verb, kfp)
    run = kfp.kept["run"][0]["run_id"]
    *others, last = TASKS
    for task in others:
        store.put_json(f"{execution.receipts_uri(store_uri, run)}/{task}.json", {})
    ended = verb("watch", run, "--host", kfp.url)
    assert ended.code == 1
    assert f"KFP says SUCCEEDED, but there is no receipt of {last} under s3://" in ended.stderr
    store.put_json(f"{execution.receipts_uri(store_uri, run)}/{last}.json", {})
    ended = verb("watch", run, "--host", kfp.url)
    assert ended.code == 0, ended.stderr
    told = {line.split()[1]: line.split()[2] for line in ended.stderr.splitlines()}
    assert {told[task] for task in (*TASKS, "doctor", "run")} == {"SUCCEEDED"}
    assert "PENDING" not in ended.stderr


def test_an_exit_task_that_fails_does_not_fail_a_run_and_is_told(kfp: KfpServer, verb: Verb) -> None:
    kfp.script = [recorded("fact-exit-task-fails")]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 0
    assert re.search(r" act +FAILED\n", ended.stderr)


def test_why_a_task_failed_is_read_from_the_store(kfp: KfpServer, verb: Verb, store_uri: str) -> None:
    from components.platform import execution, failures
    from components.platform.storage import store

    kfp.script = [recorded("smoke-fresh-install")]
    submit(verb, kfp)
    run = kfp.kept["run"][0]["run_id"]
    for task in ("evaluate-champion", "ingest"):
        with pytest.raises(ZeroDivisionError), failures.recorded(store_uri, run, task, "evaluate"):
            raise ZeroDivisionError(f"no {task}")
    store.put_json(f"{execution.receipts_uri(store_uri, run)}/ingest.json", {})
    last = verb("watch", run, "--host", kfp.url).stderr.splitlines()[-1]
    assert "ended FAILED: task evaluate-champion (ZeroDivisionError: no evaluate-champion; its log: kubectl" in last


def test_a_store_that_does_not_answer_leaves_kfp_s_word(
    kfp: KfpServer, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.platform.storage import s3

    monkeypatch.setenv("BIOMED_R1_STORE", "s3://nowhere/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "client", s3.client.__wrapped__)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    kfp.script = [recorded("smoke-succeeded")]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 0, ended.stderr
    assert "succeeded is KFP's word alone" in ended.stderr


def test_a_cancelled_run_ends_the_waiting(kfp: KfpServer, verb: Verb) -> None:
    """KFP calls its end FAILED; only who was looking in between has seen another word."""
    kfp.script = [RUNNING, {"state": "CANCELING"}, {"state": "FAILED"}]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 1
    assert "ended CANCELED" in ended.stderr


def test_cancel_is_recorded_and_believed(kfp: KfpServer, verb: Verb, store_uri: str) -> None:
    from components.platform import failures

    submit(verb, kfp)
    run = kfp.kept["run"][0]["run_id"]
    kfp.faults = [(":terminate", 403)]
    assert verb("cancel", run, "--host", kfp.url).code == 2
    assert failures.read_cancelled(store_uri, run) is None
    assert "is being cancelled" in verb("cancel", run, "--host", kfp.url).stdout
    assert kfp.terminated == [run]
    kfp.script = [recorded("fact-exit1")]
    assert "ended CANCELED by " in verb("watch", run, "--host", kfp.url).stderr
    assert verb("cancel", "run-0", "--host", kfp.url).code == 2
    assert failures.read_cancelled(store_uri, "run-0") is None


def test_cancel_without_a_store_says_what_the_run_will_be_called(kfp: KfpServer, verb: Verb) -> None:
    submit(verb, kfp)
    ended = verb("cancel", kfp.kept["run"][0]["run_id"], "--host", kfp.url)
    assert ended.code == 0
    assert "BIOMED_R1_STORE is not set, so the run will be recorded as FAILED" in ended.stderr


def test_a_timeout_leaves_the_run_going(kfp: KfpServer, verb: Verb) -> None:
    kfp.script = [RUNNING]
    ended = submit(verb, kfp, "--wait", "--timeout", "0.05")
    assert ended.code == 1
    run = kfp.kept["run"][0]["run_id"]
    assert f"goes on; watch it with: biomed-r1 watch {run} --host {kfp.url}" in ended.stderr


def test_ctrl_c_leaves_the_run_going_and_says_how_to_watch_it(
    kfp: KfpServer, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.script = [RUNNING]
    monkeypatch.setattr("pipelines.cluster.watch.time.sleep", lambda _: signal.raise_signal(signal.SIGINT))
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 130
    monkeypatch.undo()
    command = re.search(r"goes on; watch it with: biomed-r1 (.*)", ended.stderr)
    assert command
    assert not [r for r in kfp.requests if "terminate" in r or r.startswith("DELETE")]


def test_a_token_that_expires_meanwhile_is_no_news_of_the_run(kfp: KfpServer, verb: Verb) -> None:
    kfp.script = [RUNNING, 401]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 2
    assert "401 Unauthorized" in ended.stderr
    assert f"goes on; watch it with: biomed-r1 watch {kfp.kept['run'][0]['run_id']}" in ended.stderr
    kfp.script = [401]
    assert "goes on" not in submit(verb, kfp, "--wait").stderr, "this one was never seen"


def test_watch_follows_a_run_through_an_api_that_is_away(kfp: KfpServer, verb: Verb) -> None:
    submit(verb, kfp)
    kfp.script = [RUNNING, {"state": "SUCCEEDED"}]
    kfp.faults = [("GET /runs/", 503)] * 12
    ended = verb("watch", kfp.kept["run"][0]["run_id"], "--host", kfp.url)
    assert ended.code == 0
    assert ended.stderr.count("still waiting") == 1
    assert verb("watch", "run-0", "--host", kfp.url).code == 2


@pytest.mark.parametrize(("decision", "code"), [("promote", 0), ("refuse", 3)])
def test_a_refusal_is_read_from_the_receipts(
    kfp: KfpServer, verb: Verb, store_uri: str, decision: str, code: int
) -> None:
    from components.platform import execution
    from components.platform.storage import store

    submit(verb, kfp)
    run = kfp.kept["run"][0]["run_id"]
    asked = ("watch", run, "--host", kfp.url, "--fail-on-refusal")
    assert "no receipt of ingest, " in verb(*asked).stderr
    store.put_json(f"{execution.receipts_uri(store_uri, run)}/compare.json", {"evidence": {"decision": decision}})
    for task in TASKS:
        if task != "compare":
            store.put_json(f"{execution.receipts_uri(store_uri, run)}/{task}.json", {})
    assert verb(*asked).code == code
