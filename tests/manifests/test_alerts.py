"""Alerts: each has its runbook, each command in a runbook exists, and the rules fire when they should."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl import MANIFESTS, ROOT, render

from components.serving.deploy import metrics
from pipelines.cli.main import VERBS

HERE = Path(__file__).parent
RUNBOOKS = MANIFESTS / "runbooks"
HEADINGS = ("## What it means", "## How to check", "## What to do")
# What the rules are built on, each documented by its exporter.
METRICS = {
    "argo_workflows_total_count", "kube_pod_created", "kube_pod_owner", "kube_cronjob_created", "kube_pod_status_phase",
    "kube_cronjob_status_last_schedule_time", "kube_cronjob_status_last_successful_time", "DCGM_FI_DEV_GPU_UTIL",
    "kube_pod_status_unschedulable", "kube_pod_container_status_waiting_reason", "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes", "kube_deployment_status_replicas_available",
    "kube_statefulset_status_replicas_ready", "http_requests_total", "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc", "vllm:time_to_first_token_seconds_bucket", "biomed_r1_mlflow_up",
    "biomed_r1_open_run_seconds", "biomed_r1_gate_refused_in_a_row", "biomed_r1_serving_champion",
    "biomed_r1_deployer_look_timestamp_seconds",
}  # fmt: skip
# What the dashboard shows besides; the names of the exporter beside MLflow are in its HELP.
SHOWN = {
    "vllm:e2e_request_latency_seconds_bucket", "vllm:num_requests_running", "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total", "biomed_r1_runs", "biomed_r1_stage_seconds", "biomed_r1_gpu_hours",
    "biomed_r1_accuracy",
}  # fmt: skip
NAMES = r"\b([a-zA-Z_][\w:]*)\{"


@pytest.fixture
def rules(rendered: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    spec = next(item["spec"] for item in rendered["prod"] if item["kind"] == "PrometheusRule")
    return {rule["alert"]: rule for group in spec["groups"] for rule in group["rules"]}


def test_every_alert_has_a_runbook_and_says_what_happened(rules: dict[str, dict[str, Any]]) -> None:
    assert len(rules) == 16
    for name, rule in rules.items():
        address = rule["annotations"]["runbook_url"]
        assert re.fullmatch(r"https://[\w./-]+/manifests/runbooks/[\w-]+\.md", address), "can be clicked"
        page = RUNBOOKS / address.rpartition("/")[2]
        assert page.is_file(), name
        text = page.read_text(encoding="utf-8")
        assert name in text, f"{page.name} does not name {name}"
        assert [heading for heading in HEADINGS if heading not in text] == [], page.name
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_rules_use_metrics_that_something_exports(rules: dict[str, dict[str, Any]]) -> None:
    used = set(re.findall(NAMES, " ".join(rule["expr"] for rule in rules.values())))
    assert used == METRICS
    exported = set(runpy.run_path(str(MANIFESTS / "base/scripts/mlflow_metrics.py"))["HELP"])
    ours = {name for name in METRICS | SHOWN if name.startswith("biomed_r1_")}
    assert exported <= ours <= exported | set(metrics.HELP)


def test_the_runbooks_address_is_a_setting(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    settings = tmp_path / "manifests/overlays/prod/settings.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(
        re.sub(r"RUNBOOKS: \S+", "RUNBOOKS: https://wiki.hospital.example/books", text), encoding="utf-8"
    )
    rule = next(item for item in render(str(settings.parent), tmp_path) if item["kind"] == "PrometheusRule")
    urls = [rule["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for rule in group["rules"]]
    assert all(re.fullmatch(r"https://wiki\.hospital\.example/books/[\w-]+\.md", url) for url in urls)


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


def test_the_runbook_finds_archived_logs_where_argo_puts_them() -> None:
    folder = Path(os.environ.get("BIOMED_R1_DATA", "")) / "cluster"
    if not os.environ.get("BIOMED_R1_DATA") or not folder.is_dir():
        pytest.skip("BIOMED_R1_DATA names no folder with recordings of a cluster")
    page = (RUNBOOKS / "run-failed.md").read_text(encoding="utf-8")
    (address,) = re.findall(r"s3://(mlpipeline/\S+/main\.log)", page)
    bucket, _, key = address.partition("/")
    pattern = re.sub(r"\b(WORKFLOW|YEAR|MONTH|DAY|POD)\b", r"[^/]+", key)
    recorded = "".join(file.read_text(encoding="utf-8") for file in folder.glob("fact-*/workflow.json"))
    keys = set(re.findall(r'"key": ?"([^"{]+/main\.log)"', recorded))
    assert keys
    assert [key for key in keys if not re.fullmatch(pattern, key)] == []
    assert f'"bucket": "{bucket}"' in recorded


def test_rules_fire_when_they_should(rules: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if not program:
        pytest.skip("no promtool; it is in Debian's package prometheus")
    text = (HERE / "alerts_test.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"alertname: (\w+)", text)) == set(rules)
    cases = [case for test in yaml.safe_load(text)["tests"] for case in test["alert_rule_test"]]
    for name in rules:
        outcomes = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == name}
        assert outcomes == {True, False}, f"{name}: a test in which it fires, and one in which it is silent"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": list(rules.values())}]}))
    (tmp_path / "alerts_test.yaml").write_text(text)
    result = subprocess.run(
        [program, "test", "rules", "alerts_test.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboard_shows_what_is_exported(rendered: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    config = next(item for item in rendered["prod"] if item["metadata"]["name"] == "biomed-r1-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    board = json.loads(config["data"]["biomed-r1.json"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = [(x, y) for panel in board["panels"] for x, y in _cells(panel["gridPos"])]
    assert len(set(cells)) == len(cells), "panels overlap"
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    used = set(re.findall(NAMES, " ".join(queries)))
    assert used <= METRICS | SHOWN
    assert used >= SHOWN
    title = " ".join(panel["title"] for panel in board["panels"])
    assert all(
        word in title for word in ("Runs", "Seconds of each stage", "GPU hours", "Accuracy by stratum", "Serving")
    )
    _parse(queries, tmp_path)


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]


def _parse(queries: list[str], tmp_path: Path) -> None:
    """Each query as a recording rule, for promtool to read."""
    program = shutil.which("promtool")
    if not program:
        pytest.skip("no promtool; it is in Debian's package prometheus")
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    result = subprocess.run(
        [program, "check", "rules", "queries.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
