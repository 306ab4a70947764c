"""The folder that a training works in: one on the disk of its result, the same for all processes of a node.

Where processes were started for it, their request lies in it, and then what they leave: evidence, or errors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.platform.folders.deletion import clear_workspaces, workspace
from components.platform.folders.outputs import claimed

# Set in the processes that launch.py or a pod of a TrainJob starts: the folder that they share.
WORKER_VARIABLE = "BIOMED_R1_WORKER"
REQUEST, EVIDENCE = "request.json", "evidence.json"


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """An empty folder inside `out`, on its disk, removed at the end; a killed run's is removed by the next.

    One of several processes gets the folder that the process which started them has made, and leaves its removal to it.
    """
    if shared := os.environ.get(WORKER_VARIABLE):
        yield Path(shared)
        return
    with claimed(out) as found:
        clear_workspaces(found)
        with workspace(found, ".training-") as folder:
            yield folder


def errors_of(folder: Path) -> list[dict[str, Any]]:
    """What the processes of a node said before they failed, by rank: `kind`, `text`, `exit_code`."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("error-*.json"))]
