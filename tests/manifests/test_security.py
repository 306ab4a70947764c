"""Pod Security `restricted`, least privilege, and a network closed by default."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
from kubectl import containers, pod_specs

ROOT = Path(__file__).resolve().parents[2]
# kubernetes.io/docs/concepts/security/pod-security-standards, "Restricted".
VOLUMES = {
    "name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")


def restricted_problems(pod: dict[str, Any]) -> list[str]:
    """What Pod Security `restricted` would refuse in a pod spec, and what this project asks for besides."""
    problems = [f"{field} is set" for field in HOST_FIELDS if pod.get(field)]
    problems += [f"volume {v['name']}: a kind that is not allowed" for v in pod.get("volumes", ()) if set(v) - VOLUMES]
    outer = pod.get("securityContext", {})
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        context = {**outer, **own}
        wanted = {
            "runs as non-root": context.get("runAsNonRoot") is True and context.get("runAsUser", 1) > 0,
            "no privilege escalation": own.get("allowPrivilegeEscalation") is False,
            "not privileged": not own.get("privileged"),
            "drops every capability": own.get("capabilities", {}).get("drop") == ["ALL"],
            "adds no capability": not own.get("capabilities", {}).get("add"),
            "seccomp": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "no host port": not any(port.get("hostPort") for port in container.get("ports", ())),
            # Not asked by `restricted`:
            "read-only root": own.get("readOnlyRootFilesystem") is True,
            "requests and limits": all(
                container.get("resources", {}).get(part, {}).get("memory") for part in ("requests", "limits")
            ) and "cpu" in container["resources"]["requests"],
            "writable /tmp": any(m["mountPath"] == "/tmp" for m in container.get("volumeMounts", ()))
            or container["command"][0] in ("pg_dump", "touch"),
            "ephemeral storage is asked for and bounded": all(
                container.get("resources", {}).get(part, {}).get("ephemeral-storage") for part in ("requests", "limits")
            ),
        }  # fmt: skip
        problems += [f"{name}: {what}" for what, holds in wanted.items() if not holds]
    return problems


def test_every_pod_is_restricted(objects: list[dict[str, Any]]) -> None:
    pods = pod_specs(objects)
    assert len(pods) == 7 + any(item["kind"] == "TrainingRuntime" for item in objects)
    assert {name: found for name, _, pod in pods if (found := restricted_problems(pod))} == {}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pod: pod.update(hostNetwork=True), "hostNetwork"),
        (lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}), "volume host"),
        (lambda pod: pod["securityContext"].update(runAsUser=0), "non-root"),
        (lambda pod: pod["securityContext"].pop("seccompProfile"), "seccomp"),
        (lambda pod: pod["containers"][0]["securityContext"].update(privileged=True), "privileged"),
        (lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"), "escalation"),
        (lambda pod: pod["initContainers"][0]["securityContext"]["capabilities"].update(add=["NET_RAW"]), "adds"),
        (lambda pod: pod["initContainers"][0]["securityContext"].pop("readOnlyRootFilesystem"), "read-only"),
    ],
)
def test_the_check_itself_refuses(rendered: dict[str, list[dict[str, Any]]], change: Any, problem: str) -> None:
    pod = next(copy.deepcopy(pod) for name, _, pod in pod_specs(rendered["kind"]) if name == "Deployment/mlflow")
    assert restricted_problems(pod) == []
    change(pod)
    assert any(problem in found for found in restricted_problems(pod))


def test_the_namespace_enforces_restricted(objects: list[dict[str, Any]]) -> None:
    labels = next(item for item in objects if item["kind"] == "Namespace")["metadata"]["labels"]
    levels = {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert levels == {"enforce": "restricted", "audit": "restricted", "warn": "restricted"}


def test_the_namespace_stays_a_kubeflow_profiles(objects: list[dict[str, Any]]) -> None:
    """The NetworkPolicies of KFP's SeaweedFS, API and metadata servers admit namespaces by this label."""
    labels = next(item for item in objects if item["kind"] == "Namespace")["metadata"]["labels"]
    assert labels["app.kubernetes.io/part-of"] == "kubeflow-profile"


def test_no_pod_of_ours_gets_an_istio_sidecar(objects: list[dict[str, Any]]) -> None:
    for name, labels, _ in pod_specs(objects):
        assert labels.get("sidecar.istio.io/inject") == "false", name


def test_roles_have_no_wildcard_and_read_secrets_by_name_only(objects: list[dict[str, Any]]) -> None:
    roles = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Role"}
    standalone = roles["biomed-r1-runner"]["metadata"]["namespace"] == "kubeflow"
    assert set(roles) == {"biomed-r1-runner", "biomed-r1-deployer", "biomed-r1-scheduler"} - (
        {"biomed-r1-scheduler"} if standalone else set()
    ), "KFP asks nobody's rights in standalone mode"
    for name, role in roles.items():
        for rule in role["rules"]:
            entries = [entry for part in ("apiGroups", "resources", "verbs") for entry in rule[part]]
            assert not any("*" in entry for entry in entries), name
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["get"], name
                assert rule["resourceNames"], name
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), name
            assert not {"pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule["resources"]), name


def test_each_role_is_bound_to_its_own_account_and_no_cluster_role_exists(objects: list[dict[str, Any]]) -> None:
    for item in objects:
        assert item["kind"] not in ("ClusterRole", "ClusterRoleBinding")
        if item["kind"] == "RoleBinding":
            name = item["metadata"]["name"]
            assert item["roleRef"]["name"] == name
            assert [(s["kind"], s["name"]) for s in item["subjects"]] == [("ServiceAccount", name)]
            place = item["metadata"]["namespace"]
            assert item["subjects"][0]["namespace"] == place
            assert {
                other["kind"] for other in objects
                if (other["metadata"]["name"], other["metadata"].get("namespace")) == (name, place)
            } >= {"ServiceAccount", "Role"}  # fmt: skip


def test_no_pod_of_ours_but_the_deployer_gets_a_token_for_the_kubernetes_api(objects: list[dict[str, Any]]) -> None:
    for name, _, pod in pod_specs(objects):
        # The job that hands the cache over runs where the runs do, which in standalone mode is KFP's namespace.
        of_runs = ("CronJob/biomed-r1-hf-cache", "TrainingRuntime/biomed-r1-trainer")
        expected = "biomed-r1-runner" if name in of_runs else "biomed-r1-service"
        if name == "Deployment/biomed-r1-deployer":  # its one task; what it may do: the next test
            assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("biomed-r1-deployer", True)
            continue
        assert pod["serviceAccountName"] == expected, name
        assert pod["automountServiceAccountToken"] is False, name


def test_the_deployers_role_is_what_a_deployment_needs_and_nothing_on_secrets(objects: list[dict[str, Any]]) -> None:
    role = next(i for i in objects if i["kind"] == "Role" and i["metadata"]["name"] == "biomed-r1-deployer")
    rights = {
        (resource, name, verb)
        for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
        for name in rule.get("resourceNames", ["*"])
    }  # fmt: skip
    colours = ("serving-blue", "serving-green")
    assert rights == {
        ("configmaps", "biomed-r1-serving", "get"),
        *(("deployments", colour, verb) for colour in colours for verb in ("create", "get", "patch")),
        *(("inferenceservices", colour, verb) for colour in colours for verb in ("create", "delete", "get", "patch")),
        ("services", "serving", "get"), ("services", "serving", "patch"), ("pods/log", "*", "get"),
        *((resource, "*", verb) for resource in ("pods", "events") for verb in ("get", "list", "watch")),
        ("leases", "biomed-r1-deploy", "get"), ("leases", "biomed-r1-deploy", "update"), ("leases", "*", "create"),
    }  # fmt: skip


def test_everything_is_denied_by_default_in_both_directions(objects: list[dict[str, Any]]) -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policies["biomed-r1-runs"]["policyTypes"] == ["Ingress", "Egress"]
    for item in objects:
        if item["kind"] == "NetworkPolicy" and item["metadata"]["namespace"] == "kubeflow":
            selector = item["spec"]["podSelector"]
            assert selector == {"matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]}
    for name, spec in policies.items():
        for direction in ("ingress", "egress"):
            peers = "from" if direction == "ingress" else "to"
            assert (direction in spec) <= (direction.capitalize() in spec["policyTypes"]), name
            for rule in spec.get(direction, ()):
                assert rule.get(peers), f"{name}: a rule without {peers} allows everyone"
                assert rule.get("ports"), f"{name}: a rule without ports allows every port"
                assert {} not in rule[peers], f"{name}: an empty peer allows everyone"


def test_no_way_leads_to_cloud_credentials(objects: list[dict[str, Any]]) -> None:
    blocks = [
        peer["ipBlock"]
        for item in objects if item["kind"] == "NetworkPolicy"
        for rule in item["spec"].get("egress", ())
        for peer in rule["to"] if "ipBlock" in peer
    ]  # fmt: skip
    assert blocks
    credentials = ipaddress.ip_network("169.254.0.0/16")
    for block in blocks:
        if block == {"cidr": "169.254.20.10/32"}:  # NodeLocal DNSCache; its port: test_network.py
            continue
        assert "169.254.0.0/16" in block.get("except", ()) or not credentials.overlaps(
            ipaddress.ip_network(block["cidr"])
        )


def test_prod_opens_the_way_to_a_private_api_server(rendered: dict[str, list[dict[str, Any]]]) -> None:
    """The base opens 443 to public addresses only; until somebody sets their own, prod's addresses lead nowhere."""
    spec, deployer = (
        next(item["spec"] for item in rendered["prod"] if item["metadata"]["name"] == name)
        for name in ("api-server", "api-server-deployer")
    )
    assert deployer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "deployer"}}
    assert deployer["egress"] == spec["egress"]
    assert spec["podSelector"] == {
        "matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]
    }
    (rule,) = spec["egress"]
    assert {"protocol": "TCP", "port": 443} in rule["ports"]
    documentation = ipaddress.ip_network("192.0.2.0/24")
    addresses = [ipaddress.ip_network(peer["ipBlock"]["cidr"]) for peer in rule["to"]]
    assert len(addresses) == 3, "two of the API server, one of the Service kubernetes"
    assert all(address.subnet_of(documentation) for address in addresses)


def test_every_policy_selects_pods_that_exist(objects: list[dict[str, Any]]) -> None:
    """A label misspelt in a policy closes or opens the wrong door without a word."""
    ours = {labels["app.kubernetes.io/name"] for _, labels, _ in pod_specs(objects)}
    text = str([item["spec"] for item in objects if item["kind"] == "NetworkPolicy"])
    named = set(re.findall(r"'app.kubernetes.io/name': '([\w-]+)'", text))
    for values in re.findall(r"'key': 'app.kubernetes.io/name', 'operator': 'In', 'values': \[([^]]*)\]", text):
        named |= set(re.findall(r"[\w-]+", values))
    trained = {"trainer"} if any(item["kind"] == "TrainingRuntime" for item in objects) else set()
    assert named == {"mlflow", "postgres", "serving", "backup", "deployer", "store-watch"} | trained
    assert ours - named == {"hf-cache"}, "a pod that needs no network but DNS"


def test_no_secret_is_contained(objects: list[dict[str, Any]]) -> None:
    assert not [item for item in objects if item["kind"] == "Secret"]
    for item in objects:
        for name, value in re.findall(r"'name': '(\w*(?:PASSWORD|TOKEN|SECRET)\w*)', 'value': '([^']*)'", str(item)):
            pytest.fail(f"{item['kind']}/{item['metadata']['name']}: {name}={value}")
        assert not re.search(r"://[^/@\s']+:[^/@\s']+@", str(item)), "a URI with a password"


def test_the_runner_has_the_rights_that_the_policy_documents(objects: list[dict[str, Any]]) -> None:
    """docs/policies/kubernetes.json is what a run's doctor asks of Kubernetes, beside what KFP and Argo need."""
    documented = json.loads((ROOT / "docs" / "policies" / "kubernetes.json").read_text())["rules"]
    own = next(o["rules"] for o in objects if o["kind"] == "Role" and o["metadata"]["name"] == "biomed-r1-runner")
    parts = ("apiGroups", "resources", "verbs")
    missing = [r for r in documented if not any(all(set(r[p]) <= set(o[p]) for p in parts) for o in own)]
    assert documented and missing == []
