"""Profiles and what `place` makes of them: resources, volumes, scheduling, secrets, lifetime."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compiled_pipelines import CASES, Task, site_profile, tasks_of, text_of
from pydantic import ValidationError

from components.errors import InputError
from components.platform.environment import QUIET
from pipelines.compile import compiled
from pipelines.settings.profile import Retry, load_profile
from pipelines.settings.recipes import key_variables, load_any_recipe

ROOT = Path(__file__).resolve().parents[2]
GPU = "nvidia.com/gpu"


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of(text_of("training", "biomed-r1-8b", "a100x8"))


def test_a_trainer_gets_what_its_role_asks_for() -> None:
    site = site_profile("a100x8")
    site = site.model_copy(update={"trainer": site.trainer.model_copy(update={"launch": "torchrun"})})
    role, task = site.roles["trainer"], tasks_of(compiled(load_any_recipe("biomed-r1-8b"), site))["sft"]
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
    assert [(v["constant"], v["mountPath"]) for v in task.kubernetes["pvcMount"]] == [
        ("biomed-r1-hf-cache", task.environment["HF_HOME"])
    ]
    assert task.kubernetes["activeDeadlineSeconds"] == str(60 * (role.timeout_minutes or 0))
    assert task.task["taskInfo"]["name"] == "Supervised fine-tuning"


def test_a_task_that_watches_a_train_job_holds_no_gpu(tasks: dict[str, Task]) -> None:
    """The job has what the role asks for; the task has its timeout, and its image, whose code the pods compare."""
    site = site_profile("a100x8")
    role, job, task = site.roles["trainer"], site.job, tasks["sft"]
    assert task.gpus == 0 and not {"tolerations", "nodeSelector"} & set(task.kubernetes)
    assert task.container["resources"]["resourceMemoryLimit"] == site.roles["cpu"].memory
    assert task.kubernetes["activeDeadlineSeconds"] == str(60 * (role.timeout_minutes or 0))
    assert task.container["image"] == job.image == site.gpu_image
    assert (job.cpu, job.memory, job.gpu_product) == (role.cpu, role.memory, site.gpu_product)
    assert site.queue and (job.queue, job.priority_class) == (site.queue.name, site.queue.priority_class)
    assert set(job.environment) <= set(task.environment)


def test_a_cpu_task_holds_no_gpu(tasks: dict[str, Task]) -> None:
    task = tasks["compare"]
    assert task.gpus == 0 and "BIOMED_R1_GPUS" not in task.environment
    assert not {"tolerations", "nodeSelector"} & set(task.kubernetes)
    assert task.container["image"].endswith("cpu:golden") and tasks["sft"].container["image"].endswith("gpu:golden")


def test_the_images_hold_the_environment_that_is_the_same_everywhere() -> None:
    """A task's own is stored six times in a Workflow, so it has only what a site chooses."""
    for name in ("cpu", "gpu"):
        text = (ROOT / f"images/{name}.Dockerfile").read_text()
        assert [f"{k}={v}" for k, v in QUIET.items() if f" {k}={v}" not in text] == []
        assert " BIOMED_R1_HOME=/tmp/" in text
    for case in CASES:
        chosen = {*site_profile(case[2]).environment, "HF_HOME", "BIOMED_R1_GPUS"}
        for task in tasks_of(text_of(*case)).values():
            assert set(task.environment) <= chosen, case


def test_a_task_is_quiet_before_it_imports_anything() -> None:
    program = "import os, sys, components.tasks; print(os.environ['HF_HUB_OFFLINE'], 'torch' in sys.modules)"
    environment = {k: v for k, v in os.environ.items() if k not in QUIET}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.stdout.split() == ["1", "False"], done.stderr


def test_pods_with_gpus_are_queued_and_all_are_unprivileged(tasks: dict[str, Task]) -> None:
    profile = site_profile("a100x8")
    queue = {"kueue.x-k8s.io/queue-name": "biomed-r1", "kueue.x-k8s.io/priority-class": "biomed-r1-batch"}
    with_gpus = [name for name, task in tasks.items() if task.gpus]
    assert with_gpus and len(with_gpus) < len(tasks)
    for name, task in tasks.items():
        labels = task.kubernetes.get("podMetadata", {}).get("labels", {})
        assert labels == (queue if name in with_gpus else {}), name
        assert task.kubernetes["securityContext"] == {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}
        assert profile.environment.items() <= task.environment.items()


def test_secrets_are_names(tasks: dict[str, Task]) -> None:
    """And a task gets those it needs: the hub's token to load models, an endpoint's keys, a chat's address."""
    everywhere = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
    }
    asking = tasks_of(text_of("evaluation", "paper-models", "a100x8"))
    seen = set()
    # What a run makes is in the store: only a task that takes something from the hub gets the hub's token.
    asks_hub = {"doctor", "ingest", "classify", "sft", "evaluate"}
    # paper-models takes a released classifier, a training makes its own.
    each = [(asks_hub, item) for item in tasks.items()]
    each += [(asks_hub | {"stratify", "evaluate-shard"}, item) for item in asking.items()]
    for hub, (name, task) in each:
        secrets = {s["secretName"]: s for s in task.kubernetes["secretAsEnv"]}
        variables = {k["envVar"] for s in secrets.values() for k in s["keyToEnv"]}
        hosted = "behind an endpoint" in task.task["taskInfo"]["name"]
        alone = name not in hub
        more = {"OPENAI_API_KEY", "DEEPSEEK_API_KEY"} if hosted else set() if alone else {"HF_TOKEN"}
        more = {"BIOMED_R1_WEBHOOK_URL"} if name.startswith(("outcome", "promote")) else more
        assert variables == everywhere | more, name
        optional = {"biomed-r1-hub", "biomed-r1-endpoints", "biomed-r1-webhook"}
        assert {name for name, s in secrets.items() if s["optional"]} <= optional
        assert not variables & set(task.environment)
        seen |= variables
    assert seen == everywhere | {"HF_TOKEN", "OPENAI_API_KEY", "DEEPSEEK_API_KEY", "BIOMED_R1_WEBHOOK_URL"}


def test_a_task_that_asks_an_endpoint_gets_every_key_that_the_recipe_names() -> None:
    asking = 0
    for case in CASES:
        named = set(key_variables(load_any_recipe(case[1])))
        for name, task in tasks_of(text_of(*case)).items():
            if named and "behind an endpoint" in task.task["taskInfo"]["name"]:
                given = {k["envVar"] for s in task.kubernetes["secretAsEnv"] for k in s["keyToEnv"]}
                assert named <= given, (case, name)
                asking += 1
    assert asking == 2


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


def test_a_node_of_two_cores_can_run_every_task() -> None:
    """The cluster's own pods take most of two cores: what a task asks for is half of one, its limit stays."""
    profile = load_profile("one-node")
    tasks = tasks_of(compiled(load_any_recipe("smoke"), profile))
    asked = {task.container["resources"]["resourceCpuRequest"] for task in tasks.values()}
    assert asked == {"250m", "500m"}
    assert {role.cpu for role in profile.roles.values()} == {role.cpu for role in load_profile("kind").roles.values()}
    assert tasks["sft"].container["resources"]["resourceMemoryRequest"] == profile.roles["trainer"].memory


def test_a_run_ends_and_a_failed_one_stays_to_be_looked_at() -> None:
    for case in CASES:
        _, *rest = yaml.safe_load_all(text_of(*case))
        config = rest[0]["platforms"]["kubernetes"].get("pipelineConfig") if rest else None
        if case[2] == "local":
            assert config is None
            continue
        assert config["resourceTtlOnFailure"] == 7 * 24 * 60 * 60, case
        # Long enough for every task at its timeout, one after another where they wait for one another.
        tasks = tasks_of(text_of(*case))
        least: dict[str, int] = {}

        def seconds(name: str, tasks: dict[str, Task] = tasks, least: dict[str, int] = least) -> int:
            if name not in least:
                own = int(tasks[name].kubernetes["activeDeadlineSeconds"]) if name in tasks else 0
                needed = tasks[name].task.get("dependentTasks", []) if name in tasks else []
                least[name] = own + max((seconds(other) for other in needed), default=0)
            return least[name]

        assert config["activeDeadlineSeconds"] >= seconds("receipts"), case


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
        ("extends: kind\nrun_hours: null", ["run_hours"]),
        ("extends: kind\nroles: {cpu: {cpu_request: 1500m}}", ["roles.cpu.cpu_request", "1500m", "limit of 1"]),
        ("extends: kind\nroles: {cpu: {memory_request: 3Gi}}", ["roles.cpu.memory_request", "3Gi", "limit of 2Gi"]),
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


def test_a_password_in_a_profiles_address_is_refused_and_not_shown() -> None:
    address = {"MLFLOW_TRACKING_URI": "http://anna:secret@mlflow:5000"}
    with pytest.raises(InputError, match=r"environment\.MLFLOW_TRACKING_URI: a user or password.*`secrets`") as refused:
        load_profile("local").model_copy(update={"environment": address}).check_ready()
    assert "secret@" not in str(refused.value)


@pytest.mark.parametrize("image", ["ours/gpu:latest", "ours/gpu", "ours/gpu@sha256:12"])
def test_an_image_that_can_move_is_refused(image: str) -> None:
    profile = site_profile("a100x8").model_copy(update={"gpu_image": image})
    with pytest.raises(InputError, match=r"gpu_image.*digest"):
        profile.check_ready()
    profile.model_copy(update={"gpu_image": f"ours:5000/gpu@sha256:{'a' * 64}"}).check_ready()
