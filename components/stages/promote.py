"""Promote: ask for a registered version to become the champion; what came of it is a result, and never a failed run."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.errors import ReadableError, UnavailableError
from components.platform import notify
from components.platform.tracking import registry
from components.serving.promote import Asked, Outcome, Promotion
from components.serving.promote import promote as ask


class PromoteConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = registry.MODEL
    promotion: Promotion = Field(
        "manual", description="manual: the version waits for a person's sign-off; auto: the gate's consent is enough"
    )


def promote(root: str, version: str, run: str, config: PromoteConfig) -> dict[str, Any]:
    """Ask for `version` in the name of pipeline run `run`; returns what came of it, with reasons.

    It is promoted, already the champion, proposed or refused.

    Whatever speaks against it is a refusal: the gate, a baseline that is no longer the champion, damaged files, another
    promotion that was first, a store in which a pointer is not safe. Raises UnavailableError when store or registry do
    not answer: asked again, the same call ends well.
    """
    asked = Asked(by=f"run {run}", why="the gate said promote", run=run, promotion=config.promotion)
    evidence: dict[str, Any] = {"name": config.name, "version": version, "promotion": config.promotion}
    try:
        found = ask(root, config.name, version, asked)
    except UnavailableError:
        raise
    except ReadableError as error:
        found = Outcome("refused", version, (str(error),))
    if found.outcome == "refused":
        notify.tell(f"{config.name} version {version} of run {run} was not promoted: {'; '.join(found.reasons)}")
    told = {"reasons": list(found.reasons), "serial": found.serial, "warnings": list(found.warnings)}
    return {**evidence, "outcome": found.outcome, **told}
