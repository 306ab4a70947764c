"""Checkpoints go to the store in the background, one at a time: the GPUs do not wait, and the disk does not fill."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential_jitter,
)

from components.errors import InputError, ReadableError, UnavailableError
from components.platform.folders.deletion import remove_folder
from components.training.checkpoints import AbandonedError, Checkpoints

LOG = logging.getLogger(__name__)
# Checkpoints in a row that could not be stored, each tried several times, before the training stops.
FAILURES = 5
# All waits of a training for uploads together: so many seconds, and this share of its time.
WAIT_SECONDS, WAIT_SHARE = 2.0, 0.02
END_SECONDS = 10.0  # an upload that was given up ends at its next piece, or is left behind after this
TRIES, FIRST_WAIT, LONGEST_WAIT = 5, 2.0, 60.0  # seconds; the SDK has tried for some seconds each time


class Uploads:
    """Stores folders through `checkpoints.put` in a thread; a folder is deleted when it was stored or given up."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread: threading.Thread | None = None
        self._broken: BaseException | None = None
        self._last_error: ReadableError | None = None
        self._failures = 0
        self._began = time.monotonic()
        self._waited = self._written = 0.0
        self.published = 0  # the step of the last checkpoint that was stored

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether `check` raises."""
        return self._broken is not None or self._failures >= FAILURES

    def start(self, folder: Path, step: int, best: int | None = None) -> None:
        """Begin to store `folder`; waits for the one before, where that still goes on."""
        self.wait()
        self._thread = threading.Thread(target=self._store, args=(folder, step, best), name="upload", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the upload in progress; returns whether there is none any more."""
        if self._thread is not None:
            self._thread.join(seconds)
        return not self.busy

    def ready(self) -> bool:
        """Whether another checkpoint can be written now, after a short wait where that is enough.

        All waits together take at most 2 s and a fiftieth of the time that the training takes: a store that is
        slower than checkpoints come makes them rarer, and not the training slower.
        """
        if not self.busy:
            return True
        began = time.monotonic()
        allowed = WAIT_SECONDS + WAIT_SHARE * (began - self._began) - self._waited
        done = self.wait(allowed) if allowed > 0 else False
        self._waited += time.monotonic() - began
        return done

    def wrote(self, seconds: float) -> None:
        """To be told how long writing a checkpoint to the local disk held the training up."""
        self._written += seconds

    def finish(self) -> None:
        """Give up the upload in progress, unless a short wait is enough: the training is done, and its result is
        what is to be stored next. What was published stays until then. Says what checkpoints cost."""
        if not self.ready():
            began = time.monotonic()
            self._checkpoints.abandoned.set()
            if not self.wait(END_SECONDS):
                LOG.warning("checkpoints: the last upload does not end; it is left behind")
                self._thread = None
            self._waited += time.monotonic() - began
        if self._written:
            took = time.monotonic() - self._began
            LOG.info(
                "checkpoints: of %.1f s, %.1f s went into writing them and %.1f s into waiting for the store",
                *(took, self._written, self._waited),
            )

    def check(self) -> None:
        """Raise what ended an upload for good, or UnavailableError after several checkpoints could not be stored."""
        self.raise_broken()
        if self._failures >= FAILURES:
            raise UnavailableError(
                f"{self._checkpoints.folder}: {self._failures} checkpoints in a row could not be stored "
                f"({self._last_error}); the last stored one is of step {self.published}; the training stops, start it "
                "again when the store answers"
            )

    def raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _store(self, folder: Path, step: int, best: int | None) -> None:
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(UnavailableError),
                stop=stop_after_attempt(TRIES) | stop_when_event_set(self._checkpoints.abandoned),
                sleep=sleep_using_event(self._checkpoints.abandoned),
                wait=wait_exponential_jitter(initial=FIRST_WAIT, max=LONGEST_WAIT),
                reraise=True,
            ):
                with attempt:
                    self._checkpoints.put(folder, step, best)
            self._failures, self.published = 0, step
        except AbandonedError:
            LOG.info("checkpoints: step %d was not stored: the training is done", step)
        except (UnavailableError, InputError) as error:
            self._failures, self._last_error = self._failures + 1, error
            LOG.warning("checkpoints: step %d was not stored (%s); the training goes on", step, error)
        except BaseException as error:  # raised in the training's own thread by `check`
            self._broken = error
        finally:
            remove_folder(folder)


@contextmanager
def uploading(checkpoints: Checkpoints) -> Iterator[Uploads]:
    """The block's uploads. At its end, however it came, the one in progress is waited for: it is what a next attempt
    goes on from. What broke one for good is raised then; a checkpoint that could not be stored is not, any more."""
    uploads = Uploads(checkpoints)
    try:
        yield uploads
    except Exception:
        uploads.wait()
        raise
    uploads.wait()
    uploads.raise_broken()
