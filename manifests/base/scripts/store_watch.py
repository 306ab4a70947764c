"""Exit 0 when the store takes an object, gives it back and deletes it, 1 when it does not: `store_watch.py [SECONDS]`.

Tries again for 120 seconds unless said otherwise: a new pod's network policy opens the way after about half a second,
and a single error of an S3 is no news.
"""

import os
import sys
import time
import uuid

from components.errors import ReadableError
from components.platform.storage import objects

BETWEEN = 2.0


def problem(uri: str) -> str | None:
    """What the store does wrong with one small object below `uri`, or None."""
    written = {"probe": uuid.uuid4().hex}
    name = f"{uri}/probe.json"  # always the same: a check that is killed leaves nothing that piles up
    try:
        objects.put_json(name, written)
        read = objects.get_json(name)
        objects.delete(name)
    except ReadableError as error:
        return str(error)
    return None if read == written else f"{name}: wrote {written}, read {read}"


if __name__ == "__main__":
    deadline = time.monotonic() + (float(sys.argv[1]) if len(sys.argv) > 1 else 120.0)
    probes = f"{os.environ['BIOMED_R1_STORE'].rstrip('/')}/probes"
    while found := problem(probes):
        print(f"store_watch: {found}")
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(BETWEEN)
    print(f"{probes}: written, read, deleted")
