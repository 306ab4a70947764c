"""What the manifests name exists, and agrees with what the compiled pipelines and the code name."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubectl import MANIFESTS, OVERLAYS, containers, pod_specs, render

from pipelines.placement import USER
from pipelines.settings.profile import Profile, load_profile

# Secrets that an operator creates (docs/operate.md) and their keys. None is in the repository.
OPERATORS_SECRETS = {
    "biomed-r1-s3": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "biomed-r1-mlflow": {"username", "password"},
    "biomed-r1-mlflow-server": {"admin-username", "admin-password", "flask-secret-key"},
    "biomed-r1-postgres": {"password"},
    "biomed-r1-serving": {"api-key"},
    "biomed-r1-hub": {"token"},
    "biomed-r1-webhook": {"url"},
    "biomed-r1-endpoints": {"OPENAI_API_KEY", "DEEPSEEK_API_KEY"},
    "kfp-mlflow-credentials": {"username", "password"},
}
CLUSTER_PROFILES = ("kind", "a100x8", "h100x8")


def _named(objects: list[dict[str, Any]], kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in objects if item["kind"] == kind}


def _placed(objects: list[dict[str, Any]], kind: str) -> set[tuple[str, str]]:
    """(namespace, name) of every object of a kind."""
    return {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in objects if i["kind"] == kind}


def _secret_references(pod: dict[str, Any]) -> set[tuple[str, str | None]]:
    found: set[tuple[str, str | None]] = set()
    for container in containers(pod):
        for variable in container.get("env", ()):
            if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.add((reference["name"], reference["key"]))
        found |= {(s["secretRef"]["name"], None) for s in container.get("envFrom", ()) if "secretRef" in s}
    return found


def test_every_secret_is_one_that_operators_create(objects: list[dict[str, Any]]) -> None:
    for name, _, pod in pod_specs(objects):
        for secret, key in _secret_references(pod):
            assert secret in OPERATORS_SECRETS, name
            assert key is None or key in OPERATORS_SECRETS[secret], name
    for item in objects:
        for rule in item.get("rules", ()):
            if "secrets" in rule["resources"]:
                assert set(rule["resourceNames"]) <= set(OPERATORS_SECRETS)


def test_every_config_map_account_and_claim_is_defined(objects: list[dict[str, Any]]) -> None:
    maps, claims = _named(objects, "ConfigMap"), _named(objects, "PersistentVolumeClaim")
    keys = {item["metadata"]["name"]: set(item["data"]) for item in objects if item["kind"] == "ConfigMap"}
    for name, _, pod in pod_specs(objects):
        assert pod["serviceAccountName"] in _named(objects, "ServiceAccount"), name
        for volume in pod["volumes"]:
            assert volume.get("configMap", {"name": next(iter(maps))})["name"] in maps, name
            assert volume.get("persistentVolumeClaim", {"claimName": "biomed-r1-hf-cache"})["claimName"] in claims, name
            item = next(item for item in objects if f"{item['kind']}/{item['metadata']['name']}" == name)
            if claim := volume.get("persistentVolumeClaim"):
                assert (item["metadata"]["namespace"], claim["claimName"]) in _placed(objects, "PersistentVolumeClaim")
        for container in containers(pod):
            for source in container.get("envFrom", ()):
                assert source.get("configMapRef", {"name": next(iter(maps))})["name"] in maps, name
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("configMapKeyRef")
                if reference and not reference.get("optional"):
                    assert reference["key"] in keys[reference["name"]], name
            for word in container.get("command", ()):
                folder, _, file = word.removeprefix("/").partition("/")
                if folder in ("scripts", "wait") and file:
                    assert file in keys[_mounted(pod, folder)], name


def _mounted(pod: dict[str, Any], volume: str) -> str:
    """The ConfigMap behind a volume."""
    return next(str(found["configMap"]["name"]) for found in pod["volumes"] if found["name"] == volume)


def test_every_mount_has_its_volume_and_every_volume_a_mount(objects: list[dict[str, Any]]) -> None:
    claimed = {"StatefulSet/postgres": {"data"}}
    for name, _, pod in pod_specs(objects):
        mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claimed.get(name, set()), name


def test_every_service_and_budget_selects_pods(objects: list[dict[str, Any]]) -> None:
    pods = [labels for _, labels, _ in pod_specs(objects)]
    for item in objects:
        if item["metadata"]["name"] == "serving" and item["kind"] == "Service":
            assert "selector" not in item["spec"], "it is the deployer's"
        elif item["metadata"]["name"] == "serving-green-direct":
            assert item["spec"]["selector"]["biomed-r1/colour"] == "green"
        elif item["kind"] in ("Service", "PodDisruptionBudget"):
            selector = item["spec"]["selector"]
            wanted = selector.get("matchLabels", selector).items()
            assert [labels for labels in pods if wanted <= labels.items()], item["metadata"]["name"]


def test_every_image_has_a_tag_that_was_chosen(objects: list[dict[str, Any]]) -> None:
    for name, _, pod in pod_specs(objects):
        for container in containers(pod):
            tag = container["image"].rpartition(":")[2]
            assert tag not in ("", "latest", container["image"]), name


def test_prod_runs_by_digest(rendered: dict[str, list[dict[str, Any]]]) -> None:
    for name, _, pod in pod_specs(rendered["prod"]):
        for container in containers(pod):
            assert "@sha256:" in container["image"], name


def test_the_images_user_is_the_pipelines_user(objects: list[dict[str, Any]]) -> None:
    for name, _, pod in pod_specs(objects):
        expected = 999 if name == "StatefulSet/postgres" else USER
        assert pod["securityContext"]["runAsUser"] == expected, name


@pytest.mark.parametrize("name", CLUSTER_PROFILES)
def test_profiles_and_manifests_name_the_same_things(rendered: dict[str, list[dict[str, Any]]], name: str) -> None:
    profile, objects = load_profile(name), rendered["kind" if name == "kind" else "prod"]
    for secret in profile.secrets:
        assert set(secret.keys.values()) <= OPERATORS_SECRETS[secret.name], secret.name
    if profile.queue:
        assert profile.queue.name in _named(objects, "LocalQueue")
        assert profile.queue.priority_class in _named(objects, "WorkloadPriorityClass")
    if profile.hf_cache:
        assert profile.hf_cache in _named(objects, "PersistentVolumeClaim")
    told = next(item["data"] for item in objects if item["metadata"]["name"] == "biomed-r1-environment")
    for variable, value in profile.environment.items():
        assert value is None or told.get(variable) == value, variable


@pytest.mark.parametrize("name", CLUSTER_PROFILES)
def test_the_quota_admits_the_profiles_largest_task(rendered: dict[str, list[dict[str, Any]]], name: str) -> None:
    profile, objects = load_profile(name), rendered["kind" if name == "kind" else "prod"]
    hard = next(item["spec"]["hard"] for item in objects if item["kind"] == "ResourceQuota")
    queue = next((item["spec"] for item in objects if item["kind"] == "ClusterQueue"), None)
    largest = {"cpu": _largest(profile, "cpu"), "memory": _largest(profile, "memory")}
    gpus = max(role.gpus for role in profile.roles.values())
    assert bool(queue) == bool(profile.queue)
    if not queue:
        assert largest["cpu"] < int(hard["requests.cpu"])
        assert largest["memory"] < int(hard["limits.memory"].removesuffix("Gi"))
        assert gpus <= int(hard["requests.nvidia.com/gpu"])
        return
    resources = queue["resourceGroups"][0]["flavors"][0]["resources"]
    quotas = {resource["name"]: int(resource["nominalQuota"].removesuffix("Gi")) for resource in resources}
    assert gpus <= quotas["nvidia.com/gpu"]
    assert largest["cpu"] <= quotas["cpu"]
    assert largest["memory"] <= quotas["memory"]


def test_where_kueue_admits_the_quota_counts_nothing_of_what_it_hands_out(objects: list[dict[str, Any]]) -> None:
    """A ResourceQuota charges a pod when it is created, also one that Kueue holds back: a run's waiting pods would
    keep serving from starting again."""
    queues = [item["spec"] for item in objects if item["kind"] == "ClusterQueue"]
    covered = {name for queue in queues for group in queue["resourceGroups"] for name in group["coveredResources"]}
    hard = next(item["spec"]["hard"] for item in objects if item["kind"] == "ResourceQuota")
    assert not {name.removeprefix("requests.").removeprefix("limits.") for name in hard} & covered
    assert "pods" in hard


def _largest(profile: Profile, field: str) -> int:
    """The most any role asks for: cores, or Gi."""
    return max(int(str(getattr(role, field)).removesuffix("Gi")) for role in profile.roles.values())


def test_the_mlflow_plugin_is_set_alike_on_both_sides(objects: list[dict[str, Any]]) -> None:
    launcher = next(item["data"] for item in objects if item["metadata"]["name"] == "kfp-launcher")
    run_side = json.loads(launcher["plugins.mlflow"])
    api_side = json.loads((MANIFESTS / "base/kfp-api-server.json").read_text(encoding="utf-8"))["plugins"]["mlflow"]
    # KFP's API server refuses any other field in a namespace of several users, and the plugin is off without a word.
    assert set(run_side) == {"settings"}
    assert set(run_side["settings"]) <= {
        "experimentDescription", "defaultExperimentName", "injectUserEnvVars", "credentialSecretRef",
    }  # fmt: skip
    assert run_side["settings"].items() <= api_side["settings"].items()
    assert run_side["settings"]["injectUserEnvVars"] is True
    told = next(item["data"] for item in objects if item["metadata"]["name"] == "biomed-r1-environment")
    assert api_side["endpoint"] == told["MLFLOW_TRACKING_URI"]
    s3 = yaml.safe_load(launcher["providers"])["s3"]["default"]
    secret = s3["credentials"]["secretRef"]
    assert {secret["accessKeyKey"], secret["secretKeyKey"]} == OPERATORS_SECRETS[secret["secretName"]]
    if endpoint := told.get("AWS_ENDPOINT_URL_S3"):
        assert endpoint == f"http://{s3['endpoint']}"


def _told(objects: list[dict[str, Any]]) -> dict[str, str]:
    return next(dict(item["data"]) for item in objects if item["metadata"]["name"] == "biomed-r1-environment")


def test_lifecycle_expires_backups_where_backups_are_written(objects: list[dict[str, Any]]) -> None:
    rules = json.loads((MANIFESTS / "base/s3-lifecycle.json").read_text(encoding="utf-8"))["Rules"]
    by_name = {rule["ID"]: rule for rule in rules}
    assert by_name["abort-unfinished-uploads"]["Filter"] == {"Prefix": ""}
    assert 0 < by_name["abort-unfinished-uploads"]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 7
    prefix = by_name["expire-database-backups"]["Filter"]["Prefix"]
    store = _told(objects)["BIOMED_R1_STORE"]
    bucket, _, below = store.removeprefix("s3://").partition("/")
    backup = runpy.run_path(str(MANIFESTS / "base/scripts/store_backup.py"))["backup_uri"]
    assert backup(store, "TIME").startswith(f"s3://{bucket}/{prefix}")
    assert not f"{below}/".startswith(prefix), "nothing else expires"


def test_two_stores_in_one_bucket_keep_their_backups_apart() -> None:
    backup = runpy.run_path(str(MANIFESTS / "base/scripts/store_backup.py"))["backup_uri"]
    assert backup("s3://bucket/team/a/", "TIME") == "s3://bucket/backups/team/a/mlflow/TIME"
    assert backup("s3://bucket", "TIME") == "s3://bucket/backups/mlflow/TIME"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_bucket_is_set_in_one_place(overlay: str, tmp_path: Path) -> None:
    """Another bucket in the overlay's BIOMED_R1_STORE, and the default one is nowhere left in what is rendered."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    file = tmp_path / "manifests/overlays" / overlay / "settings.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("BIOMED_R1_STORE: s3://biomed-r1/") == 1
    file.write_text(
        text.replace("BIOMED_R1_STORE: s3://biomed-r1/", "BIOMED_R1_STORE: s3://another/"), encoding="utf-8"
    )
    objects = render(str(file.parent), tmp_path)
    assert "s3://biomed-r1" not in str(objects)
    assert _told(objects)["BIOMED_R1_STORE"].startswith("s3://another/")
    launcher = next(item["data"] for item in objects if item["metadata"]["name"] == "kfp-launcher")
    assert launcher["defaultPipelineRoot"] == "s3://another/kfp"


def test_mlflow_keeps_its_artifacts_in_the_store(objects: list[dict[str, Any]]) -> None:
    pod = next(pod for name, _, pod in pod_specs(objects) if name == "Deployment/mlflow")
    server = next(container for container in pod["containers"] if container["name"] == "mlflow")
    assert "--artifacts-destination=$(BIOMED_R1_STORE)/mlflow" in server["args"]
    reference = next(v["valueFrom"]["configMapKeyRef"] for v in server["env"] if v["name"] == "BIOMED_R1_STORE")
    assert reference == {"name": "biomed-r1-environment", "key": "BIOMED_R1_STORE"}


def test_the_cache_can_be_handed_to_the_runs_user(objects: list[dict[str, Any]]) -> None:
    """KFP sets no fsGroup on a run's pods, so one pod started by hand has the kubelet do it once."""
    cron = next(
        item for item in objects if item["metadata"]["name"] == "biomed-r1-hf-cache" and "jobTemplate" in item["spec"]
    )
    assert cron["spec"]["suspend"] is True, "only ever started by hand"
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (USER, USER)
    assert [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]] == ["biomed-r1-hf-cache"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    assert not mount.get("readOnly")
    assert container["command"][0] == "touch"
    assert container["command"][1].startswith(f"{mount['mountPath']}/")


def test_the_profile_owns_the_namespace_of_the_manifests(objects: list[dict[str, Any]]) -> None:
    profile = yaml.safe_load((MANIFESTS / "profile.yaml").read_text(encoding="utf-8"))
    schema = Path(__file__).parent / "schemas/Profile.json"
    jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(profile)
    assert _named(objects, "Namespace") == {profile["metadata"]["name"]}


def test_the_deployer_can_tell_a_chat_what_it_takes_back(objects: list[dict[str, Any]]) -> None:
    (deployer,) = (pod for name, _, pod in pod_specs(objects) if name == "Deployment/biomed-r1-deployer")
    told = {v["name"]: v["valueFrom"]["secretKeyRef"] for v in deployer["containers"][0]["env"] if "valueFrom" in v}
    assert told["BIOMED_R1_WEBHOOK_URL"] == {"name": "biomed-r1-webhook", "key": "url", "optional": True}
