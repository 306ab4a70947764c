"""Alerts: each has its runbook, each command in a runbook exists, and the rules fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl import MANIFESTS, ROOT

from pipelines.cli.main import VERBS

HERE = Path(__file__).parent
RUNBOOKS = MANIFESTS / "runbooks"
HEADINGS = ("## What it means", "## How to check", "## What to do")
# What the rules are built on, each documented by its exporter.
METRICS = {
    "argo_workflows_total_count", "kube_pod_created", "kube_pod_owner", "kube_cronjob_created",
    "kube_cronjob_status_last_schedule_time", "kube_cronjob_status_last_successful_time", "DCGM_FI_DEV_GPU_UTIL",
}  # fmt: skip


@pytest.fixture
def rules(rendered: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    spec = next(item["spec"] for item in rendered["prod"] if item["kind"] == "PrometheusRule")
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


def test_every_alert_has_a_runbook_and_says_what_happened(rules: dict[str, dict[str, Any]]) -> None:
    assert len(rules) == 6
    for name, rule in rules.items():
        page = ROOT / rule["annotations"]["runbook"]
        assert page.is_file(), name
        text = page.read_text(encoding="utf-8")
        assert name in text, f"{page.name} does not name {name}"
        assert [heading for heading in HEADINGS if heading not in text] == [], page.name
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_rules_use_metrics_that_something_exports(rules: dict[str, dict[str, Any]]) -> None:
    used = set(re.findall(r"\b([a-zA-Z_]\w*)\{", " ".join(rule["expr"] for rule in rules.values())))
    assert used == METRICS


def test_the_cron_jobs_that_the_rules_name_exist(rendered: dict[str, Any], rules: dict[str, dict[str, Any]]) -> None:
    named = set(re.findall(r'cronjob="([\w-]+)"', " ".join(rule["expr"] for rule in rules.values())))
    jobs = [item for item in rendered["prod"] if item["kind"] == "CronJob" and not item["spec"].get("suspend")]
    assert named == {item["metadata"]["name"] for item in jobs}


def test_runbooks_name_commands_and_objects_that_exist(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """Of the commands in code blocks: our verbs, our scripts and the namespace's own objects."""
    objects = {f"{item['kind'].lower()}/{item['metadata']['name']}" for item in rendered["kind"] + rendered["prod"]}
    for page in RUNBOOKS.glob("*.md"):
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
        assert blocks, f"{page.name} has no command"
        for verb in re.findall(r"^biomed-r1 (\w+)", blocks, re.MULTILINE):
            assert verb in VERBS, f"{page.name}: biomed-r1 {verb}"
        for script in re.findall(r"(?:/scripts/|scripts/)(\w+\.py)", blocks):
            assert (MANIFESTS / "base/scripts" / script).is_file(), f"{page.name}: {script}"
        for path in re.findall(r"\bmanifests/[\w./-]+", blocks):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
        ours = r"(?:-n|--namespace[= ]) ?biomed-r1 .*?\b(deployment|cronjob|statefulset|inferenceservice)/([\w-]+)"
        for kind, name in re.findall(ours, blocks):
            assert f"{kind}/{name}" in objects, f"{page.name}: {kind}/{name}"


def test_rules_fire_when_they_should(rules: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if not program:
        pytest.skip("no promtool; it is in Debian's package prometheus")
    text = (HERE / "alerts_test.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", text)) == set(rules)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": list(rules.values())}]}))
    (tmp_path / "alerts_test.yaml").write_text(text)
    result = subprocess.run(
        [program, "test", "rules", "alerts_test.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
