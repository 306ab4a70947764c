"""Where a task runs: the one place that turns a profile's role into a KFP task's resources."""

from __future__ import annotations

from typing import Literal

from kfp import dsl

from pipelines.settings import Profile

Role = Literal["cpu", "classifier", "trainer", "generator"]
GPU_RESOURCE = "nvidia.com/gpu"


def place(task: dsl.PipelineTask, role: Role, profile: Profile, display_name: str) -> dsl.PipelineTask:
    """Give a task its name, image and resources, and turn KFP's own cache off (design D5: it cannot see our code)."""
    resources = profile.roles[role]
    task.set_display_name(display_name)
    task.set_caching_options(False)
    task.set_cpu_request(resources.cpu).set_memory_request(resources.memory).set_memory_limit(resources.memory)
    if resources.gpus:
        task.set_accelerator_type(resources.gpu_type or GPU_RESOURCE).set_accelerator_limit(resources.gpus)
    image = profile.gpu_image if resources.gpus else profile.cpu_image
    if image:
        task.set_container_image(image)
    return task
