"""`deploy --follow`: look again and again, deploy what the pointer says, and never end because of what it met."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from components.errors import ReadableError
from components.serving.deploy.machine import Deployment
from components.serving.deploy.status import Status

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What the last look at the pointer came to; `error` is "" when it could look and nothing failed."""

    at: float  # seconds since the epoch
    status: Status | None = None
    error: str = ""


class Follower:
    """Looks every `every` seconds; a place that failed is tried again after `again` seconds."""

    def __init__(self, deployment: Deployment, every: float = 10.0, again: float = 300.0) -> None:
        self.deployment, self.every, self.again = deployment, every, again
        self.last = Look(0.0)
        self._said = ""
        self._failed: tuple[int, float] | None = None  # serial, and when (monotonic)

    def look(self) -> Look:
        """One look: deploy, or cool what was kept warm for long enough. Raises nothing that a person reads."""
        status, error = self.last.status, ""
        try:
            if not self._too_soon():
                status = self.deployment.run()
                failed = status.state == "failed" and status.fault == "place"
                self._failed = (status.serial, time.monotonic()) if failed else None
            self.deployment.cool()
            if status is not None and status.state in ("failed", "reverted"):
                error = status.reason
        except ReadableError as met:
            error = str(met)
        if error and error != self._said:
            LOG.warning("deploy: %s", error)
        self._said = error
        self.last = Look(time.time(), status, error)
        return self.last

    def run(self, stop: threading.Event, looked: Callable[[Look], None] = lambda _: None) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            looked(self.look())
            stop.wait(self.every)

    def _too_soon(self) -> bool:
        """Whether the place failed a short while ago for the version that the pointer still names."""
        if self._failed is None:
            return False
        serial, when = self._failed
        return self.deployment.serial() == serial and time.monotonic() - when < self.again
