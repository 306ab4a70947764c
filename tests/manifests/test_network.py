"""Who may reach whom: the table in docs/operate-manifests.md, evaluated on the rendered policies."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from kubectl import MANIFESTS, OVERLAYS, ROOT, render
from policies import Address, Peer, Pod, allowed

TEXT = (ROOT / "docs/operate-manifests.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## Who may reach whom\n")[2].partition("\n## ")[0]
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SECTION.splitlines() if line.startswith("| ")
]
HEAD, ROWS = LINES[0], LINES[1:]
NAME = "app.kubernetes.io/name"
# Labels of a run's pod, as recorded on a real cluster.
RUN = {
    "pipeline/runid": "2825ffb8-fbba-42d8-9576-6c7f2ded81eb",
    "pipelines.kubeflow.org/v2_component": "true",
    "workflows.argoproj.io/completed": "false",
    "workflows.argoproj.io/workflow": "biomed-r1-training-mtlff",
}
PEERS: dict[str, Peer] = {
    "cluster DNS": Pod("kube-system", {"k8s-app": "kube-dns"}),
    "NodeLocal DNS (169.254.20.10)": Address("169.254.20.10"),
    "cloud credentials (169.254.169.254)": Address("169.254.169.254"),
    "KFP's S3": Pod("kubeflow", {"app": "seaweedfs"}),
    "KFP's API": Pod("kubeflow", {"app": "ml-pipeline"}),
    "KFP's metadata": Pod("kubeflow", {"component": "metadata-grpc-server"}),
    "KFP's database": Pod("kubeflow", {"app": "mysql"}),
    "private S3 (setting)": Address("10.20.0.4"),
    "private API server (setting)": Address("10.20.0.1"),
    "API server, any address": Address("10.96.0.1"),
    "other private address": Address("10.1.2.3"),
    "public address": Address("203.0.113.10"),
    "MLflow's metrics": Pod("biomed-r1", {NAME: "mlflow"}),
    "MLflow": Pod("biomed-r1", {NAME: "mlflow"}),
    "PostgreSQL": Pod("biomed-r1", {NAME: "postgres"}),
    **{name: Pod("biomed-r1", {NAME: name}) for name in ("backup", "deployer", "store-watch", "serving", "trainer")},
    "Prometheus (setting)": Pod("monitoring", {NAME: "prometheus"}),
    "gateway (setting)": Pod("gateway", {NAME: "envoy"}),
    "KServe (setting)": Pod("kserve", {"control-plane": "kserve-controller-manager"}),
    "labelled namespace": Pod("ward", {}, {"biomed-r1/may-ask-the-model": "true"}),
    "other namespace": Pod("other", {NAME: "mlflow"}),
    "a run elsewhere": Pod("other", RUN),
}


def _peer(name: str, overlay: str) -> Peer:
    runs = "kubeflow" if overlay == "standalone" else "biomed-r1"
    return Pod(runs, RUN) if name in ("run", "another run") else PEERS[name.removeprefix("another ")]


def _policies(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The policies of an overlay, its addresses for documentation (RFC 5737) replaced by a site's private ones."""
    text = json.dumps([item for item in objects if item["kind"] == "NetworkPolicy"])
    return list(json.loads(text.replace("192.0.2.", "10.20.0.")))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_line_of_the_table_holds(rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    policies, column = _policies(rendered[overlay]), HEAD.index(overlay)
    wrong = []
    for row in ROWS:
        number, _, protocol = row[2].partition("/")
        found = allowed(policies, _peer(row[0], overlay), _peer(row[1], overlay), int(number), protocol or "TCP")
        if {"yes": True, "no": False}[row[column]] != found:
            wrong.append(f"{row[0]} → {row[1]}:{row[2]} is {'open' if found else 'closed'}")
    assert wrong == []


def test_the_table_has_allowed_and_denied_lines_for_every_pod_of_ours() -> None:
    ours = {"run", "MLflow", "PostgreSQL", "backup", "deployer", "store-watch", "serving", "trainer"}
    for name in ours:
        answers = {row[column] for row in ROWS for column in (3, 4, 5) if name in row[:2]}
        assert answers >= {"yes", "no"}, name
    assert set(PEERS) | {"run", "another run", "another trainer"} == {cell for row in ROWS for cell in row[:2]}


def test_the_table_notices_a_door_that_is_opened(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """The evaluator itself: one policy more, or one less, changes an answer."""
    policies = _policies(rendered["kind"])
    run, postgres = Pod("biomed-r1", RUN), PEERS["PostgreSQL"]
    assert not allowed(policies, run, postgres, 5432)
    wide = {
        "metadata": {"name": "wide", "namespace": "biomed-r1"},
        "spec": {
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{}], "egress": [{"to": [{"podSelector": {}}]}],
        },
    }  # fmt: skip
    assert allowed([*policies, wide], run, postgres, 5432)
    without = [policy for policy in policies if policy["metadata"]["name"] != "mlflow"]
    assert allowed(policies, run, PEERS["MLflow"], 5000)
    assert not allowed(without, run, PEERS["MLflow"], 5000)


def test_kfps_own_pods_are_touched_by_no_policy(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """A default-deny for all of `kubeflow` would cut KFP off."""
    for policies in map(_policies, rendered.values()):
        for name in ("KFP's API", "KFP's database", "KFP's S3", "KFP's metadata"):
            assert allowed(policies, PEERS["other namespace"], PEERS[name], 1234)
            assert allowed(policies, PEERS[name], PEERS["public address"], 1234)


def test_recorded_pods_of_runs_are_those_that_the_policies_mean() -> None:
    folder = Path(os.environ.get("BIOMED_R1_DATA", "")) / "cluster"
    if not os.environ.get("BIOMED_R1_DATA") or not folder.is_dir():
        pytest.skip("BIOMED_R1_DATA names no folder with recordings of a cluster")
    labels = [
        pod["metadata"]["labels"]
        for file in folder.glob("*/pods.json")
        for pod in json.loads(file.read_text(encoding="utf-8"))["items"]
        if pod["metadata"].get("labels")
    ]
    assert labels
    assert all("workflows.argoproj.io/workflow" in found for found in labels)


@pytest.mark.parametrize("setting", ["PROMETHEUS_NAMESPACE", "GATEWAY_NAMESPACE", "KSERVE_NAMESPACE"])
def test_a_namespace_is_a_setting(setting: str, tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    file = tmp_path / "manifests/overlays/kind/settings.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(rf"{setting}: \S+", f"{setting}: elsewhere", text), encoding="utf-8")
    policies = _policies(render(str(file.parent), tmp_path))
    assert allowed(policies, Pod("elsewhere"), PEERS["serving"], 8000)
    assert not allowed(_policies(render("overlays/kind", tmp_path)), Pod("elsewhere"), PEERS["serving"], 8000)
