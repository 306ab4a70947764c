"""Where a task runs: the one place that turns a profile's role into what KFP and Kubernetes are told about a task."""

from __future__ import annotations

from collections.abc import Collection

from kfp import dsl, kubernetes
from kfp.dsl.structures import ResourceSpec

from components.platform.machine import GPUS_VARIABLE
from pipelines.settings.profile import Outside, Profile, Resources, Role

GPU_RESOURCE = "nvidia.com/gpu"
# Set on every GPU node by NVIDIA's GPU feature discovery.
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
# The user of the images (images/*.Dockerfile); its group is the same.
USER = 10001
# The images' root is read-only, so the scratch volume is where everything is written; they say so themselves
# (BIOMED_R1_HOME and the libraries' caches, images/*.Dockerfile).
SCRATCH = "/tmp"
HF_HOME = "/cache/huggingface"
HUB: tuple[Outside, ...] = ("hub",)
ENDPOINTS: tuple[Outside, ...] = ("endpoints",)
WEBHOOK: tuple[Outside, ...] = ("webhook",)
_HUB_SCHEME = "hf:"


def place(
    task: dsl.PipelineTask,
    role: Role,
    profile: Profile,
    display_name: str,
    retried: bool = True,
    asks: Collection[Outside] = (),
) -> dsl.PipelineTask:
    """Give a task its name, image and resources, and in a cluster all that its pod needs.

    KFP's own cache is off (design D5: it cannot see our code). `retried` is for what a second attempt can mend,
    `asks` says what the task reaches outside: it gets the keys for that and no others.
    """
    resources = profile.resources(role)
    task.set_display_name(display_name)
    task.set_caching_options(False)
    # Set as a whole: each of KFP's setters walks the call stack, and together they were most of a compile.
    container = task.container_spec
    assert container is not None
    container.resources = ResourceSpec(
        cpu_request=resources.cpu_request or resources.cpu,
        cpu_limit=resources.cpu,
        memory_request=resources.memory_request or resources.memory,
        memory_limit=resources.memory,
        accelerator_type=GPU_RESOURCE if resources.gpus else None,
        accelerator_count=str(resources.gpus) if resources.gpus else None,
    )
    # A task that waits for GPUs has their image too: what it computes of a stage's code must be true of its pods.
    container.image = (profile.gpu_image if profile.roles[role].gpus else profile.cpu_image) or container.image
    if profile.cluster:
        cache = profile.hf_cache if "hub" in asks else None
        container.env = _environment(resources, profile, cache)
        _secrets(task, profile, asks)
        _volumes(task, resources, cache)
        _scheduling(task, resources, profile)
        _lifetime(task, resources, profile, retried)
        kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    return task


def hub_for(*references: str | None) -> tuple[Outside, ...]:
    """What a task asks that reads these models or data sets: the hub where one of them is there, else nothing.

    A model that this run or an earlier one made is in the store: its task needs neither the hub's token nor its cache.
    """
    return HUB if any(r is not None and r.startswith(_HUB_SCHEME) for r in references) else ()


def _environment(resources: Resources, profile: Profile, cache: str | None) -> dict[str, str]:
    """Only what differs from one site to another: Argo stores a task's environment about six times.

    What is the same everywhere is in the images, and set again before a task imports anything (components/tasks).
    """
    values = {k: v for k, v in profile.environment.items() if v is not None}
    if cache:
        values["HF_HOME"] = HF_HOME
    if resources.gpus:
        values[GPUS_VARIABLE] = str(resources.gpus)
    return dict(sorted(values.items()))


def _secrets(task: dsl.PipelineTask, profile: Profile, asks: Collection[Outside]) -> None:
    for secret in profile.secrets:
        if secret.only_for is not None and secret.only_for not in asks:
            continue
        key_to_variable = {key: variable for variable, key in secret.keys.items()}
        kubernetes.use_secret_as_env(task, secret.name, key_to_variable, optional=secret.optional)


def _volumes(task: dsl.PipelineTask, resources: Resources, cache: str | None) -> None:
    kubernetes.empty_dir_mount(task, "scratch", SCRATCH, size_limit=resources.scratch)
    if resources.shm:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=resources.shm)
    if cache:
        kubernetes.mount_pvc(task, cache, HF_HOME)


def _scheduling(task: dsl.PipelineTask, resources: Resources, profile: Profile) -> None:
    if resources.gpus:
        # GPU nodes are tainted with the resource's name: these pods belong there, whatever the taint's value.
        kubernetes.add_toleration(task, key=GPU_RESOURCE, operator="Exists")
        if profile.gpu_product:
            kubernetes.add_node_selector(task, GPU_PRODUCT_LABEL, profile.gpu_product)
        # GPUs are what a queue is for: a task of minutes on a CPU would wait behind trainings of days.
        if profile.queue:
            kubernetes.add_pod_label(task, QUEUE_LABEL, profile.queue.name)
            kubernetes.add_pod_label(task, PRIORITY_LABEL, profile.queue.priority_class)


def _lifetime(task: dsl.PipelineTask, resources: Resources, profile: Profile, retried: bool) -> None:
    timeout = 60 * (resources.timeout_minutes or 0)
    kubernetes.set_timeout(task, timeout)
    if not retried:
        return
    retry = profile.retry
    task.set_retry(
        num_retries=retry.attempts,
        backoff_duration=f"{retry.first_wait_seconds}s",
        backoff_factor=retry.factor,
        backoff_max_duration=f"{retry.deadline_seconds(timeout)}s",
    )
