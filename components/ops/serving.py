"""The components that end a training: promotion, and waiting for a deployment."""

from components.ops.component import component
from components.ops.training import CPU_IMAGE


@component(CPU_IMAGE)
def promote(version: str, plan: str, run: str) -> str:
    from components.tasks import serving

    return serving.promote(version, plan, run)


@component(CPU_IMAGE)
def await_deployment(promoted: str, plan: str, run: str) -> None:
    from components.tasks import serving

    serving.await_deployment(promoted, plan, run)
