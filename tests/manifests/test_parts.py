"""What is applied together, and what survives a deletion."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kubectl import OVERLAYS, ROOT, containers, deployed, pod_specs

from components.serving.deploy.template import CONFIG_MAP, pod_part, template

KEPT = ("Namespace", "PersistentVolumeClaim")
URI = "metadata.annotations['biomed-r1/model-uri']"
Parts = dict[str, dict[str, list[dict[str, Any]]]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_deleting_an_overlay_deletes_neither_namespace_nor_volumes(parts: Parts, overlay: str) -> None:
    assert {item["kind"] for item in parts[overlay]["keep"]} == set(KEPT)
    for part in ("", "serving"):
        assert not [item["metadata"]["name"] for item in parts[overlay][part] if item["kind"] in KEPT]
    postgres = next(item for item in parts[overlay][""] if item["kind"] == "StatefulSet")
    assert postgres["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    for item in parts[overlay]["keep"]:
        annotations = item["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_applying_again_does_not_take_serving_down(parts: Parts, overlay: str) -> None:
    """No file makes an object that serves or turns the switch: only a template, of which the deployer makes them."""
    assert "serving" not in {labels["app.kubernetes.io/name"] for _, labels, _ in pod_specs(parts[overlay][""])}
    assert {item["kind"] for item in parts[overlay]["serving"] if item not in deployed(parts[overlay]["serving"])} == {
        "ConfigMap"
    }
    config = next(item["data"] for item in parts[overlay]["serving"] if item["metadata"]["name"] == CONFIG_MAP)
    item = template(config)
    assert "replicas" not in item["spec"] and "name" not in item.get("metadata", {})
    assert "serving.kserve.io/stop" not in item.get("metadata", {}).get("annotations", {})
    assert "s3://" not in str(item)
    assert "annotations" not in pod_part(item)["metadata"]
    pod = pod_part(item)["spec"]
    for container in containers(pod):
        (uri,) = (variable for variable in container["env"] if variable["name"] == "MODEL_URI")
        assert uri["valueFrom"]["fieldRef"]["fieldPath"] == URI


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_that_has_to_go_finishes_its_answers(parts: Parts, overlay: str) -> None:
    ((_, _, pod),) = pod_specs(parts[overlay]["serving"])
    (server,) = pod["containers"]
    pause = server["lifecycle"]["preStop"]["sleep"]["seconds"]
    (drain,) = (int(word.partition("=")[2]) for word in server["args"] if word.startswith("--shutdown-timeout="))
    assert pause >= 10
    assert pause + drain < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_weights_and_compiled_kernels_outlive_the_pod(parts: Parts, overlay: str) -> None:
    ((_, _, pod),) = pod_specs(parts[overlay]["serving"])
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {"cache": "biomed-r1-serving-cache"}
    fetch, server = pod["initContainers"][0], pod["containers"][0]
    cache = {mount["mountPath"] for c in (fetch, server) for mount in c["volumeMounts"] if mount["name"] == "cache"}
    assert cache == {"/cache"}
    assert fetch["command"][3].startswith("/cache/")
    assert next(v["value"] for v in server["env"] if v["name"] == "VLLM_CACHE_ROOT").startswith("/cache/")


def test_standalone_keeps_what_runs_need_in_kfps_namespace(parts: Parts) -> None:
    objects = [item for part in parts["standalone"].values() for item in part]
    found = {(i["kind"], i["metadata"]["name"]) for i in objects if i["metadata"].get("namespace") == "kubeflow"}
    assert found == {
        ("ServiceAccount", "biomed-r1-runner"), ("Role", "biomed-r1-runner"), ("RoleBinding", "biomed-r1-runner"),
        ("ConfigMap", "kfp-launcher"), ("CronJob", "biomed-r1-hf-cache"), ("NetworkPolicy", "biomed-r1-runs"),
        ("PersistentVolumeClaim", "biomed-r1-hf-cache"), ("NetworkPolicy", "biomed-r1-runs-outside"),
    }  # fmt: skip
    same = {(i["kind"], i["metadata"]["name"]) for part in parts["kind"].values() for i in part}
    assert found <= same, "otherwise what multi-user has"


def test_recorded_runs_name_an_account_and_secrets_that_standalone_has_too(parts: Parts) -> None:
    """The recording was multi-user; the same pods in `kubeflow` need the same names there."""
    folder = Path(os.environ.get("BIOMED_R1_DATA", "")) / "cluster"
    if not os.environ.get("BIOMED_R1_DATA") or not folder.is_dir():
        pytest.skip("BIOMED_R1_DATA names no folder with recordings of a cluster")
    pods = [
        pod["spec"]
        for file in folder.glob("*/pods.json")
        for pod in json.loads(file.read_text(encoding="utf-8"))["items"]
        if pod.get("spec")
    ]
    accounts = {pod["serviceAccountName"] for pod in pods}
    objects = [item for item in parts["standalone"][""] if item["metadata"].get("namespace") == "kubeflow"]
    assert accounts == {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    secrets = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for pod in pods for container in containers(pod) for variable in container.get("env", ())
        if "secretKeyRef" in variable.get("valueFrom", {})
    }  # fmt: skip
    assert secrets
    text = (ROOT / "docs/operate-manifests.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("| Secrets of runs"))
    assert {name for name in secrets if f"`{name}`" not in line} == set()
