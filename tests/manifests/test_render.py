"""Every overlay renders, holds what it should and is valid, strictly; a broken copy of each kind is not."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest
import yaml
from kubectl import MANIFESTS, ROOT

SCHEMAS = Path(__file__).parent / "schemas"
# The oldest Kubernetes that the manifests claim to run on: a field that came later is refused.
KUBERNETES = "1.30"
POD_FIELDS = (
    "serviceAccountName", "automountServiceAccountToken", "securityContext", "terminationGracePeriodSeconds",
    "tolerations", "nodeSelector", "affinity", "initContainers", "volumes", "containers",
)  # fmt: skip
SHARED = {
    "Namespace": 1, "ServiceAccount": 4, "Role": 3, "RoleBinding": 3, "ResourceQuota": 1, "LimitRange": 1,
    "PersistentVolumeClaim": 1, "ConfigMap": 4, "Service": 3, "StatefulSet": 1, "CronJob": 4,
    "PodDisruptionBudget": 2,
}  # fmt: skip
COUNTS = {
    "kind": {**SHARED, "NetworkPolicy": 11, "Deployment": 2},
    "prod": {
        **SHARED, "NetworkPolicy": 13, "Deployment": 1, "InferenceService": 1, "PrometheusRule": 1, "LocalQueue": 1,
        "ClusterQueue": 1, "ResourceFlavor": 1, "WorkloadPriorityClass": 1,
    },
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _schemas_read_once() -> None:
    """The package reads its 3 MB of definitions for every object again."""
    plain = kubernetes_validate.utils.schema_contents
    if not hasattr(plain, "cache_info"):
        kubernetes_validate.utils.schema_contents = lru_cache(maxsize=None)(plain)


def check(item: dict[str, Any]) -> None:
    """Raise a ValidationError for an object that its kind's schema does not allow, unknown fields included."""
    schema = SCHEMAS / f"{item['kind']}.json"
    if schema.is_file():
        jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(item)
        if item["kind"] == "InferenceService":
            pod = {k: v for k, v in item["spec"]["predictor"].items() if k in POD_FIELDS}
            check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": pod})
        return
    kubernetes_validate.validate(item, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", sorted(COUNTS))
def test_counts_per_kind(rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    assert Counter(item["kind"] for item in rendered[overlay]) == Counter(COUNTS[overlay])


@pytest.mark.parametrize("overlay", sorted(COUNTS))
def test_every_object_is_valid(rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    for item in rendered[overlay]:
        check(item)


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
    "Deployment": _set(f"{POD}/containers/0/securityContext/readOnlyRootFileSystem", True),
    "InferenceService": _set("spec/predictor/maxSurge", 0),
    "PrometheusRule": _set("spec/groups/0/rules/0/fore", "5m"),
    "LocalQueue": _set("spec/clusterqueue", "biomed-r1"),
    "ClusterQueue": _set("spec/resourceGroups/0/flavors/0/resources/0/quota", 8),
    "ResourceFlavor": _set("spec/nodeLabel", {}),
    "WorkloadPriorityClass": _set("value", "high"),
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


def test_every_file_is_used(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """No manifest lies about that no kustomization names."""
    loose = {"kfp-api-server.json", "s3-lifecycle.json", "scripts/source_uri.py"}  # for people, not for pods
    for folder in {path.parent for path in MANIFESTS.rglob("kustomization.yaml")}:
        named = (folder / "kustomization.yaml").read_text(encoding="utf-8")
        for path in folder.rglob("*"):
            inside = path.relative_to(folder).as_posix()
            if path.is_file() and path.name != "kustomization.yaml" and inside not in loose:
                assert inside in named, f"{path.relative_to(ROOT)} is in no kustomization"


def test_both_ways_of_serving_run_the_same_server(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """The plain Deployment and the InferenceService differ in what wraps the pod, and in nothing else."""
    folder = MANIFESTS / "components"
    plain = yaml.safe_load((folder / "serving-deployment/deployment.yaml").read_text(encoding="utf-8"))["spec"]
    kserve = yaml.safe_load((folder / "serving-kserve/inferenceservice.yaml").read_text(encoding="utf-8"))["spec"]
    predictor = kserve["predictor"]
    assert predictor.pop("deploymentStrategy") == plain["strategy"]
    assert plain["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert predictor.pop("labels") == plain["template"]["metadata"]["labels"]
    assert (predictor.pop("minReplicas"), predictor.pop("maxReplicas")) == (1, 1)
    predictor["containers"][0]["name"] = plain["template"]["spec"]["containers"][0]["name"]
    assert predictor == plain["template"]["spec"]
