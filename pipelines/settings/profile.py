"""Profiles (where a pipeline runs): resources of each role, images, volumes, queue, secrets' names, price."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from components.errors import InputError
from components.platform.config import parse_config, read_yaml
from components.training.place import JobPlace, TrainerPlace
from pipelines.settings.shared import Section, shipped_or_file

Role = Literal["cpu", "classifier", "trainer", "generator"]
# What some tasks ask outside the cluster: the hub for models and data, an endpoint for answers.
Outside = Literal["hub", "endpoints", "webhook"]
# Kubernetes quantities, of those KFP takes the ones that people write.
_CORES = r"^([1-9]\d*|[1-9]\d*m)$"
_BYTES = r"^[1-9]\d*(Mi|Gi|Ti)$"
_IMAGE = re.compile(r"[^\s@]+(@sha256:[0-9a-f]{64}|:(?!latest$)[\w.-]+)")


class Resources(Section):
    """What one role's tasks ask the cluster for.

    Requests equal the limits unless they are set, so that a pod is evicted last; a small node needs smaller ones.
    """

    cpu: str = Field(pattern=_CORES, description="limit in cores, as Kubernetes writes them")
    memory: str = Field(pattern=_BYTES, description="limit, as Kubernetes writes it; /dev/shm counts against it")
    cpu_request: str | None = Field(None, pattern=_CORES, description="what a node must have free; null: as cpu")
    memory_request: str | None = Field(None, pattern=_BYTES, description="as cpu_request; null: as memory")
    gpus: int = Field(0, ge=0)
    shm: str | None = Field(None, pattern=_BYTES, description="size of /dev/shm in memory; null: the runtime's 64 MiB")
    scratch: str | None = Field(None, pattern=_BYTES, description="size of /tmp, which also holds BIOMED_R1_HOME")
    timeout_minutes: int | None = Field(None, ge=1, description="of one attempt, from the pod's start")

    def check_requests(self, role: str) -> None:
        """Raise ValueError for a request above its limit, which Kubernetes refuses when the run has begun."""
        for field, limit, size in (("cpu_request", self.cpu, _cores), ("memory_request", self.memory, _mebibytes)):
            asked = getattr(self, field)
            if asked is not None and size(asked) > size(limit):
                raise ValueError(f"roles.{role}.{field}: {asked} is above the limit of {limit}")


class Retry(Section):
    """Attempts after the first, and the waits before them, of what Argo calls an error: a pod that was deleted.

    KFP's strategy names no policy, so that of KFP's installation applies, `OnError`: a task that ended with an exit
    code, ran out of memory or was evicted failed, and is not repeated. What can pass is tried again inside the task
    (components/tasks/patience.py). A site that wants every failure repeated sets `retryPolicy: Always` in Argo's
    `workflowDefaults.spec.templateDefaults.retryStrategy`; the stages resume, so that loses no work.

    KFP hands `backoffMaxDuration` to Argo, which reads it as a deadline for all attempts together, counted from the
    start of the first (argo-workflows, workflow/controller/operator.go, processNodeRetries). The longest wait is
    therefore bounded here, and the deadline is made long enough for every attempt.
    """

    attempts: int = Field(3, ge=0)
    first_wait_seconds: int = Field(60, ge=1)
    factor: int = Field(2, ge=1)
    longest_wait_seconds: int = Field(900, ge=1)

    @property
    def waits(self) -> list[int]:
        """Seconds before each attempt after the first."""
        return [self.first_wait_seconds * self.factor**k for k in range(self.attempts)]

    @model_validator(mode="after")
    def _bounded(self) -> Retry:
        if self.waits and self.waits[-1] > self.longest_wait_seconds:
            raise ValueError(f"attempts: the last would wait {self.waits[-1]} s, over {self.longest_wait_seconds}")
        return self

    def deadline_seconds(self, timeout_seconds: int) -> int:
        """Seconds after which no attempt of `timeout_seconds` each can still be running."""
        return (self.attempts + 1) * timeout_seconds + sum(self.waits)


class Secret(Section):
    """A Kubernetes Secret whose keys become environment variables; only names are ever written down."""

    name: str
    keys: dict[str, str] = Field(description="environment variable: key of the Secret")
    optional: bool = False
    only_for: Outside | None = Field(
        None, description="tasks that ask the hub or an endpoint, or tell a chat; null: all"
    )


class Queue(Section):
    """Kueue's names. It has no KFP integration: it admits the labelled executor pods one by one."""

    name: str = Field(description="a LocalQueue of the namespace")
    priority_class: str = Field(description="a WorkloadPriorityClass")


class Profile(Section):
    """Where a pipeline runs. `cluster: false` leaves a task what a local runner can use: name, image, resources."""

    name: str
    description: str = ""
    cluster: bool = False
    cpu_image: str | None = None
    gpu_image: str | None = None
    environment: dict[str, str | None] = Field({}, description="of every task; null: a site has to set it")
    secrets: tuple[Secret, ...] = ()
    queue: Queue | None = None
    hf_cache: str | None = Field(None, description="a PersistentVolumeClaim for HF_HOME of tasks that ask the hub")
    gpu_product: str | None = Field(None, description="node label nvidia.com/gpu.product that GPU tasks need")
    price_per_gpu_hour: float | None = Field(None, ge=0, description="USD")
    run_hours: float | None = Field(None, gt=0, description="a run that takes longer is ended, waiting pods included")
    keep_days: float = Field(1, gt=0, description="a finished run's Workflow and pods stay this long")
    keep_failed_days: float = Field(7, gt=0, description="those of a run that failed")
    retry: Retry = Retry()
    trainer: TrainerPlace = Field(TrainerPlace(), description="how sft and grpo use the role trainer's GPUs")
    roles: dict[Role, Resources]

    @property
    def uses_gpus(self) -> bool:
        return any(role.gpus for role in self.roles.values())

    def resources(self, role: Role) -> Resources:
        """What the pods of a role's tasks ask for. A task whose training is a TrainJob only waits for it."""
        asked = self.roles[role]
        if role == "trainer" and self.trainer.launch == "trainjob":
            return self.roles["cpu"].model_copy(update={"timeout_minutes": asked.timeout_minutes})
        return asked

    @property
    def job(self) -> JobPlace:
        """What a training's TrainJob asks for."""
        asked, queue = self.roles["trainer"], self.queue
        return JobPlace(
            runtime=self.trainer.job.runtime,
            image=self.gpu_image if asked.gpus else self.cpu_image,
            cpu=asked.cpu,
            memory=asked.memory,
            queue=queue.name if queue else None,
            priority_class=queue.priority_class if queue else None,
            gpu_product=self.gpu_product if asked.gpus else None,
            deadline_seconds=60 * asked.timeout_minutes if asked.timeout_minutes else None,
            environment=tuple(sorted(name for name, value in self.environment.items() if value is not None)),
        )

    @model_validator(mode="before")
    @classmethod
    def _same_gpus(cls, values: Any) -> Any:
        """`trainer.gpus` is what the role asks for, unless it is said."""
        try:
            asked = values["roles"]["trainer"].get("gpus", 0)
            return {**values, "trainer": {"gpus": asked, **values.get("trainer", {})}}
        except (AttributeError, KeyError, TypeError):
            return values  # of another form than a profile's: pydantic says so

    @model_validator(mode="after")
    def _complete(self) -> Profile:
        if self.cluster and self.run_hours is None:
            raise ValueError("run_hours: a cluster's run needs one: a pod that finds no node waits for ever")
        for name, role in self.roles.items():
            role.check_requests(name)
            if self.cluster and role.timeout_minutes is None:
                raise ValueError(f"roles.{name}.timeout_minutes: a cluster's task needs one")
            if role.gpus and not (self.cluster and role.shm):
                raise ValueError(f"roles.{name}.shm: a GPU task needs shared memory, and a cluster")
        if self.trainer.launch == "trainjob" and not self.cluster:
            raise ValueError("trainer.launch: trainjob needs a cluster; take torchrun or process")
        asked = self.roles["trainer"].gpus if "trainer" in self.roles else 0
        if self.trainer.gpus != asked:
            raise ValueError(f"trainer.gpus: {self.trainer.gpus}, but roles.trainer.gpus asks for {asked}")
        return self

    def check_ready(self) -> None:
        """Raise InputError naming what a site has to set or take out before this profile can be compiled."""
        texts = {name: text or "" for name, text in self.environment.items()}
        if held := [name for name, text in texts.items() if "://" in text and "@" in urlsplit(text).netloc]:
            raise InputError(
                f"profile {self.name}: environment.{', '.join(held)}: a user or password in an address, which a "
                "compiled pipeline would hold; leave them out and name a Secret with them under `secrets`"
            )
        if not self.cluster:
            return
        images = {"cpu_image": self.cpu_image} | ({"gpu_image": self.gpu_image} if self.uses_gpus else {})
        unset = [name for name, image in images.items() if image is None]
        unset += [f"environment.{name}" for name, value in self.environment.items() if value is None]
        if unset:
            raise InputError(
                f"profile {self.name}: {', '.join(unset)}: not set, because every site has its own; write a YAML file "
                f"with `extends: {self.name}` and these, and name it with --profile FILE"
            )
        for name, image in images.items():
            if not _IMAGE.fullmatch(image or ""):
                raise InputError(f"profile {self.name}: {name}: {image}: name it by digest, or by a tag but not latest")


def load_profile(name: str) -> Profile:
    """A shipped profile by name or one from a file, which may extend another; raises InputError naming the key."""
    path = shipped_or_file(name, "profiles")
    return parse_config(Profile, _extended(name), f"profile {path.name}")


def _extended(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    path = shipped_or_file(name, "profiles")
    if str(path) in seen:
        raise InputError(f"profile {path.name}: extends itself")
    values = read_yaml(path)
    parent = values.pop("extends", None)
    return values if parent is None else _merged(_extended(str(parent), (*seen, str(path))), values)


def _cores(quantity: str) -> float:
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def _mebibytes(quantity: str) -> float:
    return float(quantity[:-2]) * {"Mi": 1, "Gi": 1024, "Ti": 1024**2}[quantity[-2:]]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, mappings key by key, so that a site's file holds only what differs."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
