"""Every overlay renders, holds what it should and is valid, strictly; a broken copy of each kind is not."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml
from kubectl import MANIFESTS, ROOT
from schemas import check, check_published, published

SHARED = {
    "Namespace": 1, "ServiceAccount": 3, "Role": 2, "RoleBinding": 2, "ResourceQuota": 1, "LimitRange": 1,
    "PersistentVolumeClaim": 2, "ConfigMap": 8, "Service": 5, "StatefulSet": 1, "CronJob": 3,
    "PodDisruptionBudget": 2, "ValidatingAdmissionPolicy": 1, "ValidatingAdmissionPolicyBinding": 1,
}  # fmt: skip
MULTI_USER = {**SHARED, "ServiceAccount": 4, "Role": 3, "RoleBinding": 3}
COUNTS = {
    "kind": {**MULTI_USER, "NetworkPolicy": 11, "Deployment": 3},
    "standalone": {**SHARED, "NetworkPolicy": 12, "Deployment": 3},
    "prod": {
        **MULTI_USER, "NetworkPolicy": 17, "Deployment": 2, "InferenceService": 1, "PrometheusRule": 1, "PodMonitor": 3,
        "ConfigMap": 9, "LocalQueue": 1, "ClusterQueue": 1, "ResourceFlavor": 1, "WorkloadPriorityClass": 1,
        "TrainingRuntime": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("overlay", sorted(COUNTS))
def test_counts_per_kind(rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    assert Counter(item["kind"] for item in rendered[overlay]) == Counter(COUNTS[overlay])


@pytest.mark.parametrize("overlay", sorted(COUNTS))
def test_every_object_is_valid(rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    for item in rendered[overlay]:
        check(item)


def test_custom_resources_satisfy_their_published_schemas(rendered: dict[str, list[dict[str, Any]]]) -> None:
    folder = published()
    if folder is None:
        pytest.skip("BIOMED_R1_DATA names no folder with schemas")
    checked = {item["kind"] for item in rendered["prod"] if check_published(item, folder)}
    assert checked == {
        "ClusterQueue", "LocalQueue", "ResourceFlavor", "WorkloadPriorityClass", "InferenceService", "PodMonitor",
        "PrometheusRule", "TrainingRuntime",
    }  # fmt: skip
    broken = copy.deepcopy(next(item for item in rendered["prod"] if item["kind"] == "ClusterQueue"))
    broken["spec"]["preemption"]["withinClusterQueues"] = "Never"
    with pytest.raises(jsonschema.ValidationError):
        check_published(broken, folder)


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(item: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            item = item[int(key) if key.isdigit() else key]
        item[last] = value

    return change


POD = "spec/template/spec"
# One way in which a hand could slip, for each kind: a field misspelt, misplaced or of the wrong type.
BROKEN = {
    "Namespace": _set("metadata/label", {}),
    "ServiceAccount": _set("automountServiceAccountToken", "no"),
    "Role": _set("rules/0/resource", ["pods"]),
    "RoleBinding": _set("roleRef/name", None),
    "ResourceQuota": _set("spec/hard", ["pods"]),
    "LimitRange": _set("spec/limits/0/defaults", {}),
    "PersistentVolumeClaim": _set("spec/accessMode", "ReadWriteOnce"),
    "ConfigMap": _set("data/port", 5000),
    "Service": _set("spec/ports/0/containerPort", 5000),
    "StatefulSet": _set("spec/volumeClaimTemplate", []),
    "CronJob": _set("spec/jobTemplate/spec/backofLimit", 1),
    "PodDisruptionBudget": _set("spec/maxSurge", 0),
    "NetworkPolicy": _set("spec/ingress", [{"from": [{"podLabels": {}}]}]),
    "ValidatingAdmissionPolicy": _set("spec/validation", []),
    "ValidatingAdmissionPolicyBinding": _set("spec/paramRef/nam", "x"),
    "Deployment": _set(f"{POD}/containers/0/securityContext/readOnlyRootFileSystem", True),
    "InferenceService": _set("spec/predictor/maxSurge", 0),
    "PodMonitor": _set("spec/podMetricsEndpoints/0/ports", ["metrics"]),
    "PrometheusRule": _set("spec/groups/0/rules/0/fore", "5m"),
    "LocalQueue": _set("spec/clusterqueue", "biomed-r1"),
    "ClusterQueue": _set("spec/resourceGroups/0/flavors/0/resources/0/quota", 8),
    "ResourceFlavor": _set("spec/nodeLabel", {}),
    "WorkloadPriorityClass": _set("value", "high"),
    "TrainingRuntime": _set("spec/template/spec/replicatedJobs/0/template/spec/backofLimit", 0),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_copy_is_refused(rendered: dict[str, list[dict[str, Any]]], kind: str) -> None:
    item = next(item for item in rendered["kind"] + rendered["prod"] if item["kind"] == kind)
    check(item)
    broken = copy.deepcopy(item)
    BROKEN[kind](broken)
    with pytest.raises(jsonschema.ValidationError):
        check(broken)


def test_a_broken_copy_of_every_kind(rendered: dict[str, list[dict[str, Any]]]) -> None:
    assert set(BROKEN) == {item["kind"] for item in rendered["kind"] + rendered["prod"]}


def test_a_broken_pod_inside_an_inference_service_is_refused(rendered: dict[str, list[dict[str, Any]]]) -> None:
    item = copy.deepcopy(next(item for item in rendered["prod"] if item["kind"] == "InferenceService"))
    item["spec"]["predictor"]["containers"][0]["volumeMount"] = []
    with pytest.raises(jsonschema.ValidationError):
        check(item)


def test_every_file_is_used() -> None:
    """No manifest lies about that no kustomization names."""
    loose = {"base/kfp-api-server.json", "base/s3-lifecycle.json", "base/scripts/source_uri.py"}  # for people
    folders = {path.parent for path in MANIFESTS.rglob("kustomization.yaml")}
    for folder in folders:
        named = (folder / "kustomization.yaml").read_text(encoding="utf-8")
        for path in folder.rglob("*"):
            owner = next(parent for parent in path.parents if parent in folders)
            if path.is_file() and owner == folder and path.name != "kustomization.yaml":
                inside = path.relative_to(folder).as_posix()
                assert inside in named or path.relative_to(MANIFESTS).as_posix() in loose, path.relative_to(ROOT)


def test_every_way_of_serving_runs_the_same_server() -> None:
    """The plain Deployment and the InferenceService differ in what wraps the pod, and in nothing else."""
    folder = MANIFESTS / "components"
    plain, cpu, kserve = (
        yaml.safe_load((folder / name / "template.yaml").read_text(encoding="utf-8"))["spec"]
        for name in ("serving-deployment", "serving-deployment-cpu", "serving-kserve")
    )
    predictor = kserve["predictor"]
    assert predictor.pop("deploymentStrategy") == plain["strategy"] == cpu["strategy"]
    assert plain["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert predictor.pop("labels") == plain["template"]["metadata"]["labels"] == cpu["template"]["metadata"]["labels"]
    assert (predictor.pop("minReplicas"), predictor.pop("maxReplicas")) == (1, 1)
    predictor["containers"][0]["name"] = plain["template"]["spec"]["containers"][0]["name"]
    assert predictor == plain["template"]["spec"]
    # The CPU build differs in its command and what it asks for.
    for pod in (plain["template"]["spec"], cpu["template"]["spec"]):
        pod.pop("tolerations", None)
        for name in ("command", "args", "resources", "env"):
            pod["containers"][0].pop(name)
    assert cpu["template"]["spec"] == plain["template"]["spec"]
    assert cpu["template"]["spec"]["terminationGracePeriodSeconds"] == 120, "preStop and vLLM's shutdown timeout"
