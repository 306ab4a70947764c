"""The first task of a cluster run: everything its later tasks lean on, checked from inside a pod, in seconds."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial

from pydantic import BaseModel, ConfigDict

from components.errors import InputError
from components.platform import models, registry, store, tracking
from components.platform.execution import STORE_VARIABLE
from components.platform.sources import Kind, check_source

LOG = logging.getLogger(__name__)


class PreflightConfig(BaseModel):
    """What a run will reach for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ()
    sources: tuple[tuple[str, Kind], ...] = ()


def preflight(config: PreflightConfig) -> list[str]:
    """Check store, credentials, MLflow, models and question sets; returns what was checked.

    Raises InputError with every failed check at once. A registry alias without a version is fine: the first run has
    no champion. GPUs are checked by the tasks that have them (components/platform/gpus.py).
    """
    checks: list[tuple[str, Callable[[], None]]] = [("S3", _store), ("MLflow", _mlflow)]
    checks += [(f"model {ref}", partial(_model, ref)) for ref in dict.fromkeys(config.models)]
    checks += [(f"{kind} {source}", partial(check_source, source, kind)) for source, kind in config.sources]
    failed = []
    for label, check in checks:
        try:
            check()
        except InputError as error:
            failed.append(f"{label}: {error}")
        else:
            LOG.info("ok    %s", label)
    if failed:
        raise InputError(f"{len(failed)} of {len(checks)} checks failed\n" + "\n".join(failed))
    return [label for label, _ in checks]


def _store() -> None:
    root = os.environ.get(STORE_VARIABLE)
    if not root:
        raise InputError(f"{STORE_VARIABLE} is not set; the profile's `environment` names it")
    store.check(root)


def _mlflow() -> None:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise InputError("MLFLOW_TRACKING_URI is not set; the profile's `environment` names it")
    tracking.check()


def _model(ref: str) -> None:
    if not registry.absent(ref):
        models.check_reference(ref)
