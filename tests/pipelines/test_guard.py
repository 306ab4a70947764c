"""Doctor before and outcome after, run for real by KFP's local runner as a cluster profile has them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.platform import execution
from components.platform.tracking import runs as tracking
from pipelines.settings.tasks import TASKS
from pipelines.settings.training_recipe import load_training_recipe

PROGRAM = """
import sys
from kfp import dsl, local
from components.ops import training as ops
from pipelines.guarded import guarded
from pipelines.placement import place
from pipelines.settings.profile import Retry
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import load_profile
from pipelines.settings.training_recipe import load_training_recipe

# The one placeholder that the local runner does not know.
dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER = "2026-01-04T03:00:00Z"
recipe, profile = load_training_recipe("smoke", sys.argv[2:]), load_profile("kind")
# The local runner waits between attempts as a cluster would, and sets the variables that name a cluster's servers.
profile = profile.model_copy(update={"retry": Retry(attempts=0), "environment": {}})

@dsl.pipeline(name="guarded")
def pipeline():
    plan = plan_of(recipe, profile)
    with guarded(plan, profile) as (checks, last):
        data = ops.ingest(plan=plan.digest, run="from-kfp").after(*checks)
        place(data, "cpu", profile, "Ingest question sets")
        last.append(data)

local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1], raise_on_error=False)
pipeline()
"""


def run(tmp_path: Path, *changes: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "kfp"), *changes], capture_output=True, text=True, cwd=tmp_path
    )
    return done.stdout + done.stderr


def parent(run_id: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run(tracking.parent_run(run_id))


@pytest.mark.slow
def test_a_run_is_checked_before_and_recorded_after(
    tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store_uri.rpartition("/")[2]
    monkeypatch.setenv(execution.RUN_VARIABLE, run_id)
    output = run(tmp_path)
    assert "ok    model package:smollm2-135m-instruct" in output and "ok    MLflow" in output, output
    assert list(execution.read_receipts(store_uri, run_id)) == ["ingest"]
    # The exit task's failure would fail no run in a cluster: the task before it does, and names the first and its log.
    assert f"no receipt of {', '.join(TASKS[1:])}" in output and "task classify, artifact executor-logs" in output
    # This pipeline has one stage of those that its recipe owes: no success, though every task ended well.
    tags = parent(run_id).data.tags
    assert (tags["outcome.state"], tags["outcome.failed_task"]) == ("FAILED", "classify")
    assert tags["outcome.missing"] == ", ".join(TASKS[1:])
    assert (tags["profile"], tags["recipe_digest"]) == ("kind", load_training_recipe("smoke").digest())


@pytest.mark.slow
def test_a_failed_check_starts_nothing_and_is_recorded(
    tmp_path: Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store_uri.rpartition("/")[2]
    monkeypatch.setenv(execution.RUN_VARIABLE, run_id)
    output = run(tmp_path, "base_model=package:nothing")
    assert re.search(r"1 of \d+ checks failed", output) and "package:nothing" in output, output
    assert execution.read_receipts(store_uri, run_id) == {}
    assert tracking.begun_tasks(run_id) == []
    found = parent(run_id)
    assert (found.info.status, found.data.tags["outcome.state"]) == ("FAILED", "FAILED")
    assert found.data.tags["outcome.failed_task"] == "doctor"
