"""A deployment, step by step: verify, apply the idle colour, wait, smoke, switch, bake, drain, accepted.

Each step is written to the store before it begins (status.py) and may be done twice, so a deployer that is killed
anywhere goes on with the same end. What fails before the switch was seen by no user; after it users are sent back.
A version that is at fault itself (damaged files, a failed smoke test, trouble while it served) gives the pointer back
and is rejected; a place that is at fault (no room, no image, no network) is not the version's, and may be tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from components.errors import DamagedError, StageError, UnavailableError
from components.platform import faults
from components.serving.deploy import champion, smoke
from components.serving.deploy import status as statuses
from components.serving.deploy.champion import Desired
from components.serving.deploy.status import BEFORE_SWITCH, Colour, Failure, Fault, Held, State, Status, Strategy
from components.serving.deploy.target import Target, other
from components.serving.files import verified
from components.serving.pointer import Served, now

LOG = logging.getLogger(__name__)
REACHED_SECONDS = 30.0


@dataclass(frozen=True)
class Terms:
    """How a deployment is done; all times in seconds.

    `strategy`: surge starts the new version beside the old one, replace stops the old one first (one GPU), auto
    surges and replaces where there is no room. `answer` is for one answer of the smoke test.
    """

    strategy: Strategy = "auto"
    ready: float = 1800.0
    answer: float = 120.0
    bake: float = 60.0
    drain: float = 120.0
    keep_warm: float = 1800.0
    poll: float = 2.0


class Deployment:
    """Brings a target to what the pointer of `name` in the store `root` says; one at a time for a target."""

    def __init__(self, root: str, name: str, target: Target, terms: Terms, by: str) -> None:
        self.root, self.name, self.target, self.terms, self.by = root, name, target, terms, by
        self._etag: str | None = None
        self._entered = time.monotonic()
        self._waits_for = ""
        self._steps: dict[State, Callable[[Status], Status | None]] = {
            "verify": self._verify,
            "stop": self._stop,
            "apply": self._apply,
            "wait": self._wait,
            "smoke": self._smoke,
            "switch": self._switch,
            "bake": self._bake,
            "drain": self._drain,
            "discard": self._discard,
            "restore": self._restore,
            "revert": self._revert,
        }

    def run(self) -> Status:
        """Take the deployment that the pointer asks for to its end, or the one that was left unfinished.

        Returns its last status: accepted, failed or reverted. Raises ConflictError where another deployer works on
        the target, InputError where nothing was promoted, UnavailableError when the store does not answer.
        """
        if (settled := self._settled()) is not None:
            return settled
        with self.target.lock(self.by):
            found, self._etag = statuses.read(self.root, self.name, self.target.name)
            if found and not found.ended and found.state not in (*BEFORE_SWITCH, "switch", "bake", "drain"):
                # On its way back: first there, then whatever the pointer says by then.
                found = self._to_the_end(found)
                if found.fault == "model":
                    return found
            wanted = champion.desired(self.root, self.name)
            if found and not found.ended and found.what.digest == wanted.what.digest:
                return self._to_the_end(found)
            if (served := self._already(found, wanted)) is not None:
                return served
            return self._to_the_end(self._begin(found, wanted))

    def serial(self) -> int:
        """The serial of the pointer now."""
        return champion.desired(self.root, self.name).serial

    def cool(self) -> bool:
        """Stop the colour that is kept ready for a rollback once its time is over; returns whether it was."""
        if self._too_warm() is None:
            return False
        with self.target.lock(self.by):
            idle = self._too_warm()
            if idle is not None:
                self.target.stop(idle)
            return idle is not None

    def _too_warm(self) -> Colour | None:
        """The colour that was kept for long enough."""
        found, _ = statuses.read(self.root, self.name, self.target.name)
        if found is None or found.state != "accepted" or not found.warm_until:
            return None
        live = self.target.live()
        if live is None or datetime.now(UTC) < datetime.fromisoformat(found.warm_until):
            return None
        return other(live) if self.target.held(other(live)) else None

    def _settled(self) -> Status | None:
        """The last status when there is nothing to do; without the lock, because a follower asks every few seconds."""
        found, _ = statuses.read(self.root, self.name, self.target.name)
        if found is None or found.state != "accepted":
            return None
        wanted = champion.desired(self.root, self.name)
        live = self.target.live()
        same = live is not None and found.what.uri == wanted.what.uri and self.target.current(live, wanted.what)
        return found if same else None

    def _to_the_end(self, status: Status) -> Status:
        self._entered = time.monotonic()
        while not status.ended:
            try:
                further = self._steps[status.state](status)
            except UnavailableError:
                raise  # nothing is known, so nothing is undone: the same command goes on from here
            except DamagedError as error:
                further = self._fail(status, str(error), "model")
            except StageError as error:
                further = self._fail(status, str(error), "place")
            if further is None:
                self.target.pause(status.colour, self.terms.poll)
            else:
                status = self._keep(further)
        return status

    def _keep(self, status: Status) -> Status:
        status = status.model_copy(update={"by": self.by})
        self._etag = statuses.write(self.root, self.name, status, self._etag)
        self._entered = time.monotonic()
        text = status.history[-1].text if status.history else ""
        LOG.info("deploy %s: version %s: %s%s", status.target, status.what.version, status.state, text and f": {text}")
        return status

    def _begin(self, found: Status | None, wanted: Desired) -> Status:
        """The first status of a new deployment; an unfinished one that the pointer left behind is replaced by it."""
        live = self.target.live()
        before = None
        if live is not None and (uri := self.target.held(live)):
            before = Held(colour=live, uri=uri, **_known(found, uri))
        elif found and not found.ended and found.before:
            before = found.before  # stopped for a version that is no longer asked for
        colour = other(before.colour if before else live or "green")
        warm = (
            self.target.current(colour, wanted.what)
            and self.target.progress(colour).state == "ready"
            and bool(found and found.state == "accepted")
        )
        begun = Status(
            target=self.target.name,
            serial=wanted.serial,
            what=wanted.what,
            colour=colour,
            before=before,
            strategy=self.terms.strategy,
            since="",
            warm=warm,
            last_failure=_last_failure(found),
        )
        return self._keep(begun.to("verify", f"serial {wanted.serial}, colour {colour}"))

    def _already(self, found: Status | None, wanted: Desired) -> Status | None:
        """The status when users are served what the pointer says; None when there is something to do."""
        live = self.target.live()
        if live is None or not self.target.current(live, wanted.what):
            return None
        if found and found.state == "accepted" and found.what.uri == wanted.what.uri:
            return found
        begun = Status(
            target=self.target.name,
            serial=wanted.serial,
            what=wanted.what,
            colour=live,
            since="",
            last_failure=_last_failure(found),
        )
        return self._keep(begun.to("accepted", "it is what users are served already"))

    # The steps. None: not yet, ask again.

    def _verify(self, status: Status) -> Status | None:
        # Byte by byte they are read where they are fetched.
        verified(status.what.uri, status.what.digest, every_byte=False)
        if smoke.read(status.what.uri) is None:
            return self._fail(
                status,
                f"{smoke.smoke_uri(status.what.uri)}: no record of its answers, so nothing could tell these weights "
                "from others; register the model again",
                "place",
            )
        if status.strategy == "replace" and status.before and not status.warm:
            return status.to("stop")
        return status.to("apply")

    def _stop(self, status: Status) -> Status | None:
        assert status.before is not None
        self.target.stop(status.before.colour)
        if self.target.progress(status.before.colour).state != "stopped" and not self._late(self.terms.drain):
            return None
        return status.to("apply")

    def _apply(self, status: Status) -> Status | None:
        self.target.apply(status.colour, status.what)
        faults.point("deploy applied")
        return status.to("wait")

    def _wait(self, status: Status) -> Status | None:
        progress = self.target.progress(status.colour)
        if progress.state == "ready":
            return status.to("smoke")
        if progress.unschedulable and status.strategy == "auto" and status.before:
            return status.to("stop", f"no room beside the old version: {progress.text}", strategy="replace")
        if progress.state == "failed":
            return self._fail(status, progress.text, progress.fault)
        if self._late(self.terms.ready):
            return self._fail(status, f"not ready after {self.terms.ready:.0f} s: {progress.text}", "place")
        if progress.text != self._waits_for:
            self._waits_for = progress.text
            LOG.info("deploy %s: waiting: %s", status.target, progress.text)
        return None

    def _smoke(self, status: Status) -> Status | None:
        recorded = smoke.read(status.what.uri)
        if recorded is None:
            raise DamagedError(f"{smoke.smoke_uri(status.what.uri)}: gone since the deployment began")
        url = self.target.address(status.colour)
        try:
            problems = smoke.check(url, status.what.uri, recorded, self.terms.answer, briefly=status.warm)
        except smoke.NotReachedError as error:
            # It is ready, but its address may not lead to it yet.
            return self._fail(status, str(error), "place") if self._late(REACHED_SECONDS) else None
        if problems:
            return self._fail(status, f"smoke test: {'; '.join(problems)}", "model")
        return status.to("switch")

    def _switch(self, status: Status) -> Status | None:
        if self.target.live() != status.colour:
            self.target.switch(status.colour)
            faults.point("deploy switched")
        if self.target.live() == status.colour:
            return status.to("bake")
        if self._late(self.terms.ready):
            return self._fail(status, f"users were not sent over within {self.terms.ready:.0f} s", "place")
        return None

    def _bake(self, status: Status) -> Status | None:
        if trouble := self.target.trouble(status.colour):
            return self._fail(status, f"trouble while it served: {trouble}", "model")
        return status.to("drain") if self._late(self.terms.bake) else None

    def _drain(self, status: Status) -> Status | None:
        before = status.before
        still = self.target.open(before.colour) if before else 0
        if still and not self._late(self.terms.drain):
            return None
        until = now(timedelta(seconds=self.terms.keep_warm)) if before else ""
        text = f"{still} requests were still open after {self.terms.drain:.0f} s" if still else ""
        return status.to("accepted", text, warm_until=until)

    def _discard(self, status: Status) -> Status | None:
        """Nothing was switched: take the new version away, and the old one back where it was stopped."""
        self.target.stop(status.colour)
        before = status.before
        if before and self.target.held(before.colour) != before.uri:
            return status.to("restore")
        return self._failed(status)

    def _restore(self, status: Status) -> Status | None:
        before = status.before
        assert before is not None
        ready = self._bring_back(before)
        if ready is None:
            return None
        if ready:
            return self._failed(status.model_copy(update={"reason": f"{status.reason}; {ready}"}))
        return self._failed(status)

    def _revert(self, status: Status) -> Status | None:
        """Users are sent back to the old version, and the pointer after them."""
        before = status.before
        said = "there is no version to go back to"
        if before is not None:
            problem = self._bring_back(before)
            if problem is None:
                return None
            if not problem:
                # Also where users never left: a switch that was asked for and not made must not be made later.
                self.target.switch(before.colour)
                faults.point("deploy switched back")
                if self.target.live() != before.colour:
                    return None
            said = problem or f"users are served {before.uri} again"
        if status.fault == "model" and before is not None:
            said = f"{said}; {champion.give_back(self.root, self.name, status, self.by)}"
            faults.point("deploy gave back")
        if before is not None:
            self.target.stop(status.colour)
        return status.to("reverted", said)

    def _failed(self, status: Status) -> Status:
        said = ""
        if status.fault == "model":
            said = champion.give_back(self.root, self.name, status, self.by)
            faults.point("deploy gave back")
        return status.to("failed", said)

    def _bring_back(self, before: Held) -> str | None:
        """ "" when the old version is ready, None when it is not yet, else why it will not be."""
        if self.target.held(before.colour) != before.uri:
            what = Served(version=before.version, uri=before.uri, digest=before.digest)
            self.target.apply(before.colour, what)
        progress = self.target.progress(before.colour)
        if progress.state == "ready":
            return ""
        if progress.state == "failed":
            return f"the version before does not start either: {progress.text}"
        if self._late(self.terms.ready):
            return f"the version before is not ready after {self.terms.ready:.0f} s: {progress.text}"
        return None

    def _fail(self, status: Status, reason: str, fault: Fault) -> Status:
        """The step after a failure: away with the new version before the switch, back to the old one after it."""
        if status.before and status.before.uri == status.what.uri:
            fault = "place"  # the same weights serve on the other colour: it is the template that does not do
        changes = {"reason": status.reason or reason, "fault": status.fault or fault}
        if status.state in BEFORE_SWITCH:
            return status.to("discard", reason, **changes)
        if status.state in ("switch", "bake", "drain"):
            return status.to("revert", reason, **changes)
        # What goes wrong on the way back ends it: a person has to look.
        return status.to("reverted" if status.state == "revert" else "failed", reason, **changes)

    def _late(self, seconds: float) -> bool:
        return time.monotonic() - self._entered >= seconds


def _known(found: Status | None, uri: str) -> dict[str, str]:
    """Digest and version of what a colour holds, where the last deployment or its own predecessor says so."""
    if found is None:
        return {}
    if found.what.uri == uri:
        return {"digest": found.what.digest, "version": found.what.version}
    if found.before and found.before.uri == uri:
        return {"digest": found.before.digest, "version": found.before.version}
    return {}


def _last_failure(found: Status | None) -> Failure | None:
    if found is None or found.state not in ("failed", "reverted"):
        return found.last_failure if found else None
    return Failure(version=found.what.version, digest=found.what.digest, reason=found.reason, at=found.since)


def raise_for(status: Status) -> None:
    """Raise StageError, saying what happened, for a deployment that did not end well."""
    if status.state == "accepted":
        return
    where = "users saw nothing of it" if status.state == "failed" else "users were sent back"
    said = status.history[-1].text if status.history else ""
    raise StageError(
        f"deploy {status.target}: version {status.what.version} was not accepted: {status.reason} ({where}"
        + (f"; {said})" if said and said != status.reason else ")")
    )
