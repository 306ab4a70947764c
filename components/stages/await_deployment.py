"""Await a deployment: wait until the deployer has put what this run promoted into service, or says why not.

Pods of a run may not change what is served. The deployer does, and writes how far it is into the store; this reads it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.errors import StageError
from components.platform.storage import store
from components.serving.deploy import status as statuses
from components.serving.deploy.status import Status

LOG = logging.getLogger(__name__)
State = Literal["accepted", "superseded", "not promoted"]


class AwaitConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    target: str = Field("kubernetes", description="of `biomed-r1 deploy --target`")
    minutes: float = Field(20, gt=0, description="how long to wait; less than the profile's timeout of role cpu")
    poll_seconds: float = Field(10, gt=0)


def await_deployment(root: str, promoted: Mapping[str, Any], uri: str, config: AwaitConfig) -> dict[str, Any]:
    """Wait for the version at `uri` that `promoted` (promote's evidence) made the champion; returns how it ended.

    `not promoted`: there is nothing to wait for. `superseded`: another version was promoted meanwhile. Raises
    StageError when the deployer did not accept it, and when the time is over.
    """
    evidence = {"target": config.target, "version": promoted["version"], "serial": promoted["serial"]}
    if promoted["outcome"] not in ("promoted", "already"):
        return {**evidence, "state": "not promoted"}
    digest = store.manifest_digest(store.read_manifest(uri) or {"files": []})
    deadline = time.monotonic() + 60 * config.minutes
    seen = ""
    while True:
        status, _ = statuses.read(root, config.name, config.target)
        said = _said(status)
        if said != seen:
            LOG.info("target %s: %s", config.target, said)
            seen = said
        if ended := _ended(status, digest, int(promoted["serial"])):
            return {**evidence, "state": ended}
        if time.monotonic() > deadline:
            raise StageError(
                f"await_deployment: {config.name} version {promoted['version']} is not in service after "
                f"{config.minutes:g} minutes ({said}); is `biomed-r1 deploy --target {config.target} --follow` running?"
            )
        time.sleep(config.poll_seconds)


def _ended(status: Status | None, digest: str, serial: int) -> State | None:
    """How it ended for this content; None while it has not. Raises StageError when it was not accepted."""
    if status is None or status.serial < serial:
        return None
    if status.what.digest == digest:
        if status.state in ("failed", "reverted"):
            raise StageError(
                f"await_deployment: version {status.what.version} was not accepted by target {status.target}: "
                f"{status.reason}"
            )
        return "accepted" if status.state == "accepted" else None
    failure = status.last_failure
    if failure and failure.digest == digest:
        raise StageError(
            f"await_deployment: version {failure.version} was not accepted by target {status.target} at {failure.at}: "
            f"{failure.reason}"
        )
    return "superseded"


def _said(status: Status | None) -> str:
    if status is None:
        return "nothing was deployed there yet"
    return f"serial {status.serial}, version {status.what.version}: {status.state}"
