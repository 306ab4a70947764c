"""What is applied together, what survives a deletion, and the components that a site may choose."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl import MANIFESTS, OVERLAYS, ROOT, containers, pod_specs, render
from policies import Address, Pod, allowed
from schemas import check

KEPT = ("Namespace", "PersistentVolumeClaim")
URI = "metadata.annotations['biomed-r1/model-uri']"
DIGEST = "sha256:" + "1a" * 32
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
    """What the deployer sets is in no file: neither model nor replicas nor a stop. And the overlay has no server."""
    assert "serving" not in {labels["app.kubernetes.io/name"] for _, labels, _ in pod_specs(parts[overlay][""])}
    served = [item for item in parts[overlay]["serving"] if item["kind"] in ("Deployment", "InferenceService")]
    (item,) = served
    assert "replicas" not in item["spec"]
    assert "serving.kserve.io/stop" not in item["metadata"].get("annotations", {})
    assert "s3://" not in str(item)
    template = item["spec"].get("predictor") or item["spec"]["template"]
    assert "annotations" not in template.get("metadata", template)
    ((_, _, pod),) = pod_specs(served)
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
    """The recording was multi-user; the same pods in `kubeflow` need the same names there (docs/operate-manifests.md)."""
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


def _placeholders(text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MANIFESTS / "placeholders.py")]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def test_prod_as_shipped_is_refused_and_says_what_to_set(parts: Parts) -> None:
    result = _placeholders(yaml.safe_dump_all([item for part in parts["prod"].values() for item in part]))
    assert result.returncode == 2
    for expected in (
        "Deployment/mlflow.spec.template.spec.containers[0].image: registry.example.com/",
        "StatefulSet/postgres.spec.template.spec.containers[0].image: docker.io/library/postgres@sha256:000",
        "InferenceService/biomed-r1.spec.predictor.containers[0].image:", "a digest of zeros",
        "PrometheusRule/biomed-r1.spec.groups[0].rules[0].annotations.runbook_url: https://git.example.com/",
        "NetworkPolicy/api-server.spec.egress[0].to[0].ipBlock.cidr: 192.0.2.1/32: opens nothing",
    ):  # fmt: skip
        assert expected in result.stdout


def test_prod_with_a_sites_own_values_passes(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    prod = tmp_path / "manifests/overlays/prod"
    for file, changes in {
        "images/kustomization.yaml": {"registry.example.com": "registry.hospital.test", "sha256:" + "0" * 64: DIGEST},
        "settings.yaml": {"git.example.com": "git.hospital.test"},
    }.items():
        text = (prod / file).read_text(encoding="utf-8")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (prod / file).write_text(text, encoding="utf-8")
    objects = [item for part in ("", "serving") for item in render(str(prod / part), tmp_path)]
    result = _placeholders(yaml.safe_dump_all(objects))
    assert result.returncode == 0, result.stdout
    tagged = str(yaml.safe_dump_all(objects)).replace(f"@{DIGEST}", ":0.1.0")
    assert _placeholders(tagged).returncode == 2, "a tag is no digest"


def _with(tmp_path: Path, *components: str, instead: str = "") -> list[dict[str, Any]]:
    """Overlay kind with more components, one of them in place of `instead`."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests", dirs_exist_ok=True)
    file = tmp_path / "manifests/overlays/kind/kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    listed = [name for name in kustomization["components"] if not instead or not name.endswith(instead)]
    kustomization["components"] = [*listed[:-1], *(f"../../components/{name}" for name in components), listed[-1]]
    file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    objects = render(str(file.parent), tmp_path)
    for item in objects:
        check(item)
    return objects


def test_an_s3_outside_for_standalone_runs(tmp_path: Path) -> None:
    """The patch that components/outside-s3 names: the runs' half of its policies goes where the runs are."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    text = (MANIFESTS / "components/outside-s3/network.yaml").read_text(encoding="utf-8")
    (patch,) = re.findall(r"^#   (- \{op: replace, path: /metadata/namespace, .*\})$", text, re.MULTILINE)
    file = tmp_path / "manifests/overlays/standalone/kustomization.yaml"
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    kustomization["components"].append("../../components/outside-s3")
    kustomization["patches"] = [{"target": {"kind": "NetworkPolicy", "name": "outside-s3-runs"}, "patch": patch}]
    file.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    policies = [item for item in render(str(file.parent), tmp_path) if item["kind"] == "NetworkPolicy"]
    run = {"workflows.argoproj.io/workflow": "training"}
    assert allowed(policies, Pod("kubeflow", run), Address("192.0.2.4"), 9000)
    assert allowed(policies, Pod("biomed-r1", {"app.kubernetes.io/name": "backup"}), Address("192.0.2.4"), 9000)
    assert not allowed(policies, Pod("kubeflow", run), Address("10.9.9.9"), 9000)


def _accounts(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == "ServiceAccount"}


def test_a_registry_with_a_password(tmp_path: Path) -> None:
    accounts = _accounts(_with(tmp_path, "image-pull-secret"))
    having = {
        name for name, item in accounts.items() if item.get("imagePullSecrets") == [{"name": "biomed-r1-registry"}]
    }
    assert having == {"biomed-r1-runner", "biomed-r1-service"}


def test_an_identity_in_place_of_keys(tmp_path: Path, rendered: dict[str, list[dict[str, Any]]]) -> None:
    objects = _with(tmp_path, "workload-identity-eks")
    accounts = _accounts(objects)
    for name in ("biomed-r1-runner", "biomed-r1-service"):
        assert accounts[name]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(f"role/{name}")
    launcher = next(item["data"] for item in objects if item["metadata"]["name"] == "kfp-launcher")
    assert yaml.safe_load(launcher["providers"])["s3"]["default"]["credentials"] == {"fromEnv": True}
    assert _placeholders(yaml.safe_dump_all(objects)).returncode == 2, "the role's account is a placeholder"
    for name, _, pod in pod_specs(rendered["kind"]):
        for container in containers(pod):
            for source in container.get("envFrom", ()):
                if source.get("secretRef", {}).get("name") == "biomed-r1-s3":
                    assert source["secretRef"]["optional"] is True, name


def test_an_identity_on_gke_opens_its_metadata_server_and_no_other_address(tmp_path: Path) -> None:
    objects = _with(tmp_path, "workload-identity-gke")
    assert {
        name for name, item in _accounts(objects).items()
        if "iam.gke.io/gcp-service-account" in item["metadata"].get("annotations", {})
    } == {"biomed-r1-runner", "biomed-r1-service"}  # fmt: skip
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    mlflow = Pod("biomed-r1", {"app.kubernetes.io/name": "mlflow"})
    assert allowed(policies, mlflow, Address("169.254.169.252"), 988)
    assert not allowed(policies, mlflow, Address("169.254.169.253"), 80)
    assert not allowed(
        policies, Pod("biomed-r1", {"app.kubernetes.io/name": "postgres"}), Address("169.254.169.254"), 80
    )


def test_mlflows_database_elsewhere(tmp_path: Path) -> None:
    objects = _with(tmp_path, "mlflow-elsewhere", instead="mlflow-postgres")
    assert not [item for item in objects if item["kind"] == "StatefulSet"]
    backend = next(item["data"] for item in objects if item["metadata"]["name"] == "mlflow-backend")
    assert backend["PGSSLMODE"] == "require"
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    database = Pod("databases", {"cnpg.io/cluster": "mlflow"})
    for name in ("mlflow", "backup"):
        assert allowed(policies, Pod("biomed-r1", {"app.kubernetes.io/name": name}), database, 5432)
    assert not allowed(policies, Pod("biomed-r1", {"app.kubernetes.io/name": "serving"}), database, 5432)
    assert not allowed(policies, Pod("biomed-r1", {"app.kubernetes.io/name": "mlflow"}), Pod("databases"), 5432)


@pytest.mark.parametrize("component", ["gitops-argocd", "gitops-flux"])
def test_the_caches_job_by_gitops_is_the_one_by_hand(tmp_path: Path, component: str) -> None:
    objects = _with(tmp_path, component)
    job = next(item for item in objects if item["kind"] == "Job")
    cron = next(
        item for item in objects if item["metadata"]["name"] == "biomed-r1-hf-cache" and item["kind"] == "CronJob"
    )
    assert job["spec"] == cron["spec"]["jobTemplate"]["spec"]
    annotations = job["metadata"]["annotations"]
    assert annotations.get("argocd.argoproj.io/hook") == "Sync" or annotations["kustomize.toolkit.fluxcd.io/force"]


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / "gitops" / name).read_text(encoding="utf-8")))


def test_gitops_names_folders_and_objects_that_exist(rendered: dict[str, list[dict[str, Any]]]) -> None:
    objects = {(item["kind"], item["metadata"]["name"]) for items in rendered.values() for item in items}
    applications, flux = _documents("argocd.yaml"), _documents("flux.yaml")
    paths = [item["spec"]["source"]["path"] for item in applications]
    assert paths == [item["spec"]["path"].removeprefix("./") for item in flux if item["kind"] == "Kustomization"]
    assert paths == [f"manifests/overlays/prod{part}" for part in ("/keep", "", "/serving")]
    for path in paths:
        assert (ROOT / path / "kustomization.yaml").is_file()
    for item in applications:
        for ignored in item["spec"].get("ignoreDifferences", ()):
            named = {name for kind, name in objects if kind == ignored["kind"]}
            assert ignored["name"] in named if "name" in ignored else named, ignored
    for item in flux:
        for checked in item["spec"].get("healthChecks", ()):
            assert (checked["kind"], checked["name"]) in objects


def test_gitops_order_and_what_it_never_deletes(rendered: dict[str, list[dict[str, Any]]]) -> None:
    applications = _documents("argocd.yaml")
    waves = [int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for item in applications]
    assert waves == sorted(waves)
    assert len(set(waves)) == 3
    kept, _, serving = applications
    assert kept["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert serving["spec"]["syncPolicy"]["automated"]["prune"] is False
    assert all("finalizers" not in item["metadata"] for item in applications)
    steps = [item for item in _documents("flux.yaml") if item["kind"] == "Kustomization"]
    for before, after in pairwise(steps):
        assert after["spec"]["dependsOn"] == [{"name": before["metadata"]["name"]}]
    assert [step["spec"]["prune"] for step in steps] == [False, True, False]
    inside = {
        item["metadata"]["name"]: int(item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        for item in rendered["prod"] if item["kind"] in ("StatefulSet", "Deployment", "InferenceService", *KEPT)
    }  # fmt: skip
    assert inside["postgres"] < inside["mlflow"]


def test_the_model_is_ignored_by_argo_cd(parts: Parts) -> None:
    ignored = {
        item["kind"]: item["jqPathExpressions"] for item in _documents("argocd.yaml")[2]["spec"]["ignoreDifferences"]
    }
    assert ".spec.predictor.annotations" in ignored["InferenceService"]
    assert {".spec.template.metadata.annotations", ".spec.replicas"} <= set(ignored["Deployment"])


def test_the_runbooks_patch_sets_the_annotation_that_the_pods_read() -> None:
    text = (MANIFESTS / "runbooks/serve-a-model.md").read_text(encoding="utf-8")
    bodies = [re.sub(r'\\"', '"', body) for body in re.findall(r'-p "(\{.*\})"', text)]
    found = [yaml.safe_load(body) for body in bodies]
    assert found == [
        {"spec": {"predictor": {"annotations": {"biomed-r1/model-uri": "$URI"}}}},
        {"spec": {"template": {"metadata": {"annotations": {"biomed-r1/model-uri": "$URI"}}}}},
    ]
    assert "biomed-r1/model-uri" in URI
