"""Trying again what can pass: a store or MLflow that does not answer now. Everything else fails at once.

A cluster does not do this: KFP's `set_retry` names no policy, so Argo repeats what it calls an error (a deleted pod)
and never a task that ended with an exit code, for whatever reason. The stages resume, so another attempt costs little.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from components.errors import ReadableError, UnavailableError
from components.platform.logs import RUN_FOLDER_VARIABLE

LOG = logging.getLogger(__name__)

# Seconds before each further attempt. Each client has tried for a minute or so by itself when an error comes here.
WAITS = (30, 60, 120, 240)
ATTEMPT_VARIABLE = "BIOMED_R1_ATTEMPT"
_NETWORK = ("requests.", "urllib3.")
_BUSY = (429, 502, 503, 504)
Given = ParamSpec("Given")
Result = TypeVar("Result")


def patient(task: Callable[Given, Result]) -> Callable[Given, Result]:
    """The task, started anew in this process's place after each wait while it fails for what can pass.

    A fresh program, because a failed training leaves the GPUs' memory full. Not in a local run, whose servers are
    processes of the same machine: `biomed-r1 run` says at once what failed.
    """

    @functools.wraps(task)
    def trying(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return task(*args, **kwargs)
        except Exception as error:
            attempt = int(os.environ.get(ATTEMPT_VARIABLE, "0"))
            if os.environ.get(RUN_FOLDER_VARIABLE) or attempt >= len(WAITS) or not passes(error):
                raise
            LOG.warning("%s: %s\ntried again in %s s", type(error).__name__, error, WAITS[attempt])
        time.sleep(WAITS[attempt])
        os.environ[ATTEMPT_VARIABLE] = str(attempt + 1)
        sys.stdout.flush()
        os.execv(sys.executable, sys.orig_argv)

    return trying


def passes(error: BaseException) -> bool:
    """Whether an error says that a server could not be reached or had no time, and nothing about what was asked."""
    if isinstance(error, ReadableError):
        return isinstance(error, UnavailableError)
    seen: BaseException | None = error
    while seen is not None:
        kinds = " ".join(kind.__name__ for kind in type(seen).__mro__)
        if type(seen).__module__.startswith(_NETWORK) and ("Connection" in kinds or "Timeout" in kinds):
            return True
        # MLflow's own error for an answer that is none.
        if callable(status := getattr(seen, "get_http_status_code", None)) and status() in _BUSY:
            return True
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return False
