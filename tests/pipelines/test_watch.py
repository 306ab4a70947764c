"""`submit --wait` and `watch`: what they tell of a run, and how they end."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest

from tests.pipelines.cluster_verbs import SMOKE, Verb
from tests.pipelines.kfp_server import KfpServer


def submit(verb: Verb, kfp: KfpServer, *more: str) -> Any:
    return verb("submit", *SMOKE, "--host", kfp.url, *more)


def details(*tasks: tuple[str, str, str, str]) -> dict[str, Any]:
    """run_details as KFP makes them of Argo's nodes: (display name, state, parent, error) each."""
    listed: list[dict[str, Any]] = []
    for name, state, _, error in tasks:
        children = [{"pod_name": f"pod-{k}"} for k, task in enumerate(tasks) if task[2] == name]
        listed.append({"display_name": name, "state": state, "pod_name": f"pod-{len(listed)}", "child_tasks": children})
        if error:
            listed[-1]["error"] = {"code": 2, "message": error}
    return {"run_details": {"task_details": listed}}


RUNNING = {"state": "RUNNING"} | details(("root", "RUNNING", "", ""), ("ingest", "RUNNING", "root", ""))


def test_waiting_tells_each_change_once_and_ends_with_the_run(kfp: KfpServer, verb: Verb) -> None:
    done = details(("root", "SUCCEEDED", "", ""), ("ingest", "SUCCEEDED", "root", ""))
    kfp.script = [{"state": "PENDING"}, RUNNING, RUNNING, {"state": "SUCCEEDED"} | done]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 0
    assert [line.split()[1:] for line in ended.stderr.splitlines()] == [
        ["run", "PENDING"], ["ingest", "RUNNING"], ["run", "RUNNING"], ["ingest", "SUCCEEDED"], ["run", "SUCCEEDED"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "named"),
    [
        ([("executor", "FAILED", "sft", "OOMKilled"), ("sft", "FAILED", "root", "child")], "task sft (OOMKilled)"),
        (
            [
                ("executor(1)", "FAILED", "executor", "exit 1"),
                ("executor", "FAILED", "sft", ""),
                ("sft", "FAILED", "root", ""),
            ],
            "task sft (exit 1)",
        ),
        ([("grpo-driver", "FAILED", "root", "no such image")], "task grpo (no such image)"),
    ],
)
def test_a_failed_run_names_the_innermost_task(kfp: KfpServer, verb: Verb, failed: Any, named: str) -> None:
    tree = details(("root", "FAILED", "", ""), ("ingest", "SUCCEEDED", "root", ""), *failed)
    kfp.script = [RUNNING, {"state": "FAILED"} | tree]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 1
    assert ended.stderr.splitlines()[-1].endswith(f"ended FAILED: {named}")


def test_a_cancelled_run_ends_the_waiting(kfp: KfpServer, verb: Verb) -> None:
    kfp.script = [RUNNING, {"state": "CANCELING"}, {"state": "CANCELED", "error": {"code": 1, "message": "by Jo"}}]
    ended = submit(verb, kfp, "--wait")
    assert ended.code == 1
    assert "ended CANCELED (by Jo)" in ended.stderr


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
    from components.platform import execution, store

    submit(verb, kfp)
    run = kfp.kept["run"][0]["run_id"]
    asked = ("watch", run, "--host", kfp.url, "--fail-on-refusal")
    assert "no receipt of `compare`" in verb(*asked).stderr
    store.put_json(f"{execution.receipts_uri(store_uri, run)}/compare.json", {"evidence": {"decision": decision}})
    assert verb(*asked).code == code
