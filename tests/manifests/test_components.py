"""What a site may choose, and what it has to set."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl import MANIFESTS, ROOT, containers, pod_specs, render
from policies import Address, Pod, allowed
from schemas import check

DIGEST = "sha256:" + "1a" * 32
Parts = dict[str, dict[str, list[dict[str, Any]]]]


def _placeholders(text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MANIFESTS / "placeholders.py")]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)


def test_prod_as_shipped_is_refused_and_says_what_to_set(parts: Parts) -> None:
    result = _placeholders(yaml.safe_dump_all([item for part in parts["prod"].values() for item in part]))
    assert result.returncode == 2
    for expected in (
        "Deployment/mlflow.spec.template.spec.containers[0].image: registry.example.com/",
        "StatefulSet/postgres.spec.template.spec.containers[0].image: docker.io/library/postgres@sha256:000",
        "InferenceService/serving-blue.spec.predictor.containers[0].image:", "a digest of zeros",
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


def _with(tmp_path: Path, *components: str, instead: str = "", overlay: str = "kind") -> list[dict[str, Any]]:
    """An overlay with more components, one of them in place of `instead`."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests", dirs_exist_ok=True)
    file = tmp_path / "manifests/overlays" / overlay / "kustomization.yaml"
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


def test_standalone_can_be_watched(tmp_path: Path) -> None:
    objects = _with(tmp_path, "monitoring", overlay="standalone")
    rules = next(item["spec"] for item in objects if item["kind"] == "PrometheusRule")["groups"][0]["rules"]
    failed = next(rule for rule in rules if rule["alert"] == "BiomedR1RunFailed")
    assert "kubeflow" in failed["expr"], "where its runs are"


def test_a_registry_with_a_password(tmp_path: Path) -> None:
    accounts = _accounts(_with(tmp_path, "image-pull-secret"))
    having = {
        name for name, item in accounts.items() if item.get("imagePullSecrets") == [{"name": "biomed-r1-registry"}]
    }
    assert having == {"biomed-r1-runner", "biomed-r1-service", "biomed-r1-deployer"}


@pytest.mark.parametrize("overlay", ["kind", "prod"])
def test_an_identity_in_place_of_keys(tmp_path: Path, rendered: dict[str, list[dict[str, Any]]], overlay: str) -> None:
    objects = _with(tmp_path, "workload-identity-eks", overlay=overlay)
    accounts = _accounts(objects)
    for name in ("biomed-r1-runner", "biomed-r1-service", "biomed-r1-deployer"):
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
    } == {"biomed-r1-runner", "biomed-r1-service", "biomed-r1-deployer"}  # fmt: skip
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


def test_standalone_with_gpus_as_the_page_makes_it(tmp_path: Path) -> None:
    """The commands and files of docs/operate-manifests.md, word for word, and what comes of them."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    page = (ROOT / "docs/operate-manifests.md").read_text(encoding="utf-8")
    chapter = page.partition("**Standalone with GPUs.**")[2].partition("**Multi-user without Istio.**")[0]
    (commands,) = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, timeout=60)
    for file, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", chapter, re.DOTALL):
        (tmp_path / file).write_text(text, encoding="utf-8")
    ours = tmp_path / "manifests/overlays/ours"
    services, kept = render(str(ours), tmp_path), render(str(ours / "keep"), tmp_path)
    for item in [*services, *kept, *render(str(ours / "serving"), tmp_path)]:
        check(item)
    namespaces = {(i["kind"], i["metadata"]["name"]): i["metadata"].get("namespace") for i in services + kept}
    for kind, name in (
        ("NetworkPolicy", "api-server"), ("NetworkPolicy", "outside-s3-runs"), ("LocalQueue", "biomed-r1"),
        ("ConfigMap", "kfp-launcher"), ("ServiceAccount", "biomed-r1-runner"),
        ("PersistentVolumeClaim", "biomed-r1-hf-cache"),
    ):  # fmt: skip
        assert namespaces[kind, name] == "kubeflow", name
    assert namespaces["PersistentVolumeClaim", "biomed-r1-serving-cache"] == "biomed-r1"
    assert ("ServiceAccount", "biomed-r1-scheduler") not in namespaces, "KFP has one user"
    queue = next(item for item in services if item["kind"] == "ClusterQueue")
    assert queue["spec"]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kubeflow"}
    launcher = next(item["data"] for item in services if item["metadata"]["name"] == "kfp-launcher")
    assert "s3.us-east-1.amazonaws.com" in launcher["providers"]
    policies = [item for item in services if item["kind"] == "NetworkPolicy"]
    run = Pod("kubeflow", {"workflows.argoproj.io/workflow": "training"})
    mlflow = Pod("biomed-r1", {"app.kubernetes.io/name": "mlflow"})
    assert allowed(policies, run, mlflow, 5000)
    assert allowed(policies, run, Address("192.0.2.1"), 443), "the API server's address"
    assert allowed(policies, run, Address("192.0.2.4"), 9000), "the S3's"
    assert not allowed(policies, run, Pod("biomed-r1", {"app.kubernetes.io/name": "postgres"}), 5432)
