"""Faults that tests plant through the environment, because a crash cannot be rehearsed otherwise.

`BIOMED_R1_FAULT=point:raise` makes that point raise, `point:vanish` ends the process at once as if all were well, and
`point:sleep=SECONDS` makes it wait; commas separate several.
Unset, which is always so outside tests, a point costs one look-up.
"""

from __future__ import annotations

import os
import time

VARIABLE = "BIOMED_R1_FAULT"


def point(name: str) -> None:
    """A place in the code where a test may plant a fault; raises RuntimeError when one says `raise`."""
    planted = os.environ.get(VARIABLE)
    if not planted:
        return
    for fault in planted.split(","):
        where, _, what = fault.partition(":")
        if where != name:
            continue
        if what == "raise":
            raise RuntimeError(f"fault planted at {name} by {VARIABLE}")
        if what == "vanish":
            os._exit(0)
        if what.startswith("sleep="):
            time.sleep(float(what.removeprefix("sleep=")))
