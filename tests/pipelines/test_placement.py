"""Profiles and what `place` makes of them: resources, volumes, scheduling, secrets, lifetime."""

from __future__ import annotations

from pathlib import Path

import pytest
from compiled_pipelines import CASES, Task, site_profile, tasks_of, text_of
from pydantic import ValidationError

from components.errors import InputError
from components.platform.environment import QUIET
from pipelines.settings.profile import Retry, load_profile
from pipelines.settings.recipes import key_variables, load_any_recipe

GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of(text_of("training", "biomed-r1-8b", "a100x8"))


def test_a_trainer_gets_what_its_role_asks_for(tasks: dict[str, Task]) -> None:
    role, task = site_profile("a100x8").roles["trainer"], tasks["sft"]
    resources = task.container["resources"]
    for kind, asked in (("Cpu", role.cpu), ("Memory", role.memory)):
        assert resources[f"resource{kind}Request"] == resources[f"resource{kind}Limit"] == asked
    assert (resources["accelerator"]["resourceType"], task.gpus) == (GPU, 8)
    assert task.environment["BIOMED_R1_GPUS"] == "8"
    assert task.kubernetes["tolerations"] == [{"key": GPU, "operator": "Exists"}]
    assert task.kubernetes["nodeSelector"] == {"labels": {f"{GPU}.product": "NVIDIA-A100-SXM4-80GB"}}
    mounts = {m["mountPath"]: m for m in task.kubernetes["emptyDirMounts"]}
    assert mounts["/dev/shm"] == {
        "volumeName": "shm",
        "mountPath": "/dev/shm",
        "medium": "Memory",
        "sizeLimit": role.shm,
    }
    assert mounts["/tmp"]["sizeLimit"] == role.scratch and "medium" not in mounts["/tmp"]
    assert task.environment["BIOMED_R1_HOME"].startswith("/tmp/")
    assert [(v["constant"], v["mountPath"]) for v in task.kubernetes["pvcMount"]] == [
        ("biomed-r1-hf-cache", task.environment["HF_HOME"])
    ]
    assert task.kubernetes["activeDeadlineSeconds"] == str(60 * (role.timeout_minutes or 0))
    assert task.task["taskInfo"]["name"] == "Supervised fine-tuning"


def test_a_cpu_task_holds_no_gpu(tasks: dict[str, Task]) -> None:
    task = tasks["compare"]
    assert task.gpus == 0 and "BIOMED_R1_GPUS" not in task.environment
    assert not {"tolerations", "nodeSelector"} & set(task.kubernetes)
    assert task.container["image"].endswith("cpu:golden") and tasks["sft"].container["image"].endswith("gpu:golden")


def test_every_pod_is_queued_unprivileged_and_quiet(tasks: dict[str, Task]) -> None:
    profile = site_profile("a100x8")
    for task in tasks.values():
        assert task.kubernetes["podMetadata"]["labels"] == {
            "kueue.x-k8s.io/queue-name": "biomed-r1",
            "kueue.x-k8s.io/priority-class": "biomed-r1-batch",
        }
        assert task.kubernetes["securityContext"] == {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert QUIET.items() <= task.environment.items()
        assert profile.environment.items() <= task.environment.items()


def test_secrets_are_names(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        secrets = {s["secretName"]: s for s in task.kubernetes["secretAsEnv"]}
        variables = {k["envVar"] for s in secrets.values() for k in s["keyToEnv"]}
        assert variables == {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "MLFLOW_TRACKING_USERNAME",
            "MLFLOW_TRACKING_PASSWORD",
            "HF_TOKEN",
            "OPENAI_API_KEY",
            "DEEPSEEK_API_KEY",
        }
        assert [name for name, s in secrets.items() if s["optional"]] == ["biomed-r1-hub", "biomed-r1-endpoints"]
        assert not variables & set(task.environment)


def test_a_task_that_asks_an_endpoint_gets_every_key_that_the_recipe_names() -> None:
    asking = 0
    for case in CASES:
        named = set(key_variables(load_any_recipe(case[1])))
        for name, task in tasks_of(text_of(*case)).items():
            if named and name.startswith("evaluate-shard"):
                given = {k["envVar"] for s in task.kubernetes["secretAsEnv"] for k in s["keyToEnv"]}
                assert named <= given, (case, name)
                asking += 1
    assert asking == 4


def test_no_retry_is_cut_off_by_argos_deadline() -> None:
    """Argo counts maxDuration from the first attempt's start: 15 minutes would leave a training no second one."""
    retry = Retry()
    assert (retry.attempts, retry.waits) == (3, [60, 120, 240]) and max(retry.waits) <= 15 * 60
    for case in CASES:
        for task in tasks_of(text_of(*case)).values():
            policy = task.task.get("retryPolicy")
            if policy is None:
                continue
            timeout = int(task.kubernetes["activeDeadlineSeconds"])
            assert (policy["maxRetryCount"], policy["backoffDuration"], policy["backoffFactor"]) == (3, "60s", 2.0)
            assert int(policy["backoffMaxDuration"].rstrip("s")) == 4 * timeout + 60 + 120 + 240


def test_waits_stay_within_their_bound() -> None:
    with pytest.raises(ValidationError, match="would wait 1920 s"):
        Retry(attempts=6)


def test_the_local_profile_adds_nothing_a_local_runner_does_not_know() -> None:
    for task in tasks_of(text_of("training", "demo", "local")).values():
        assert task.kubernetes == {} and task.environment == {} and "retryPolicy" not in task.task


def test_a_site_writes_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text("extends: h100x8\nroles: {trainer: {gpus: 4}}\nenvironment: {BIOMED_R1_STORE: s3://ours/x}\n")
    ours, theirs = load_profile(str(file)), load_profile("h100x8")
    assert ours.roles["trainer"] == theirs.roles["trainer"].model_copy(update={"gpus": 4})
    assert ours.environment == {**theirs.environment, "BIOMED_R1_STORE": "s3://ours/x"}
    assert (ours.gpu_product, theirs.gpu_product) == ("NVIDIA-H100-80GB-HBM3",) * 2
    assert ours.secrets == load_profile("a100x8").secrets


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: a100x8\nroles: {trainer: {gpu: 4}}", ["roles.trainer.gpu", "unknown"]),
        ("extends: a100x8\nroles: {trainer: {memory: 12 GB}}", ["roles.trainer.memory", "12 GB"]),
        ("extends: a100x8\nroles: {trainer: {cpu: '0'}}", ["roles.trainer.cpu"]),
        ("extends: nowhere", ["nowhere", "a100x8"]),
        ("extends: a100x8\nroles: {trainer: {shm: null}}", ["trainer.shm"]),
        ("extends: kind\nroles: {cpu: {timeout_minutes: null}}", ["cpu.timeout_minutes"]),
    ],
)
def test_a_profile_that_cannot_work_is_refused(text: str, said: list[str], tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        load_profile(str(file))
    assert [word for word in said if word not in str(refused.value)] == []


def test_a_profile_that_extends_itself(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(f"extends: {file}")
    with pytest.raises(InputError, match="extends itself"):
        load_profile(str(file))


def test_a_gpu_profile_is_not_ready_before_a_site_names_its_images() -> None:
    with pytest.raises(InputError, match=r"cpu_image, gpu_image, environment\.BIOMED_R1_STORE.*extends: a100x8"):
        load_profile("a100x8").check_ready()
    site_profile("a100x8").check_ready()
    load_profile("local").check_ready()
    load_profile("kind").check_ready()


@pytest.mark.parametrize("image", ["ours/gpu:latest", "ours/gpu", "ours/gpu@sha256:12"])
def test_an_image_that_can_move_is_refused(image: str) -> None:
    profile = site_profile("a100x8").model_copy(update={"gpu_image": image})
    with pytest.raises(InputError, match=r"gpu_image.*digest"):
        profile.check_ready()
    profile.model_copy(update={"gpu_image": f"ours:5000/gpu@sha256:{'a' * 64}"}).check_ready()
