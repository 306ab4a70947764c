"""Faults that tests plant through the environment, because a crash cannot be rehearsed otherwise.

`BIOMED_R1_FAULT=point:raise` makes that point raise, `point:vanish` ends the process at once as if all were well,
`point:kill` kills it, `point:sleep=SECONDS` makes it wait, and `point:wait=FILE` waits until that file is there, after
writing FILE.PID; commas separate several. `point#3` is the third time that the process comes by.
Unset, which is always so outside tests, a point costs one look-up.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator

VARIABLE = "BIOMED_R1_FAULT"
_passes: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))


def point(name: str) -> None:
    """A place in the code where a test may plant a fault; raises RuntimeError when one says `raise`."""
    planted = os.environ.get(VARIABLE)
    if not planted:
        return
    turn = next(_passes[name])
    for fault in planted.split(","):
        where, _, what = fault.partition(":")
        if where not in (name, f"{name}#{turn}"):
            continue
        if what == "raise":
            raise RuntimeError(f"fault planted at {name} by {VARIABLE}")
        if what == "vanish":
            os._exit(0)
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what.startswith("sleep="):
            time.sleep(float(what.removeprefix("sleep=")))
        if what.startswith("wait="):
            _wait(what.removeprefix("wait="))


def _wait(file: str) -> None:
    open(f"{file}.{os.getpid()}", "w").close()
    while not os.path.exists(file):
        time.sleep(0.01)
