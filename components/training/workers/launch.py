"""A trainer in several processes of one node: `torchrun` as a child of this process, which only waits.

The processes know nothing of keys, MLflow and receipts: they get a request (a file), train, and the first one leaves
the model and its evidence. This process turns their end into a result or into the error that it would have been here.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components import errors
from components.errors import InputError, ReadableError, StageError
from components.platform.machine import needs_space
from components.platform.models import local_model
from components.training.place import TrainerPlace
from components.training.workers.folder import WORKER_VARIABLE, work_folder

LOG = logging.getLogger(__name__)
# Seconds that processes have, after a SIGTERM or the end of another one, to store a checkpoint.
GRACE_SECONDS = 900
REQUEST, EVIDENCE = "request.json", "evidence.json"


def elsewhere(place: TrainerPlace) -> bool:
    """Whether the training is to be done by processes that are still to be started.

    Raises InputError for a place that cannot be served, before anything is fetched.
    """
    if place.launch == "trainjob":
        raise InputError("trainer.launch: trainjob: not available yet; take torchrun, on one node")
    return place.processes > 1 and WORKER_VARIABLE not in os.environ


def launch(
    module: str, place: TrainerPlace, mix: Path, model: str, config: BaseModel, checkpoints: str, out: Path, code: str
) -> dict[str, Any]:
    """What `place.processes` processes return that run `module`, a trainer's stage; it ends in main.end_with.

    `out` is the folder of the result: they work inside it, in a folder that is removed here.
    Raises the workers' own ReadableError, StoppedError among them; StageError when they died without a word.
    """
    local_model(model)  # fetched once, and not by every process
    given = {"mix": str(mix), "model": model, "config": config.model_dump(mode="json")}
    given |= {"checkpoints": checkpoints, "out": str(out), "code": code}
    with needs_space(out), work_folder(out) as folder:
        request = {"place": place.model_dump(mode="json"), "given": given}
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        status = _torchrun(module, place, folder)
        if problem := _told(folder):
            raise problem
        evidence = folder / EVIDENCE
        if status or not evidence.is_file():
            raise StageError(
                f"{module}: a process of the training died (torchrun ended with {status}) without saying why: killed, "
                "or out of memory; the last stored checkpoint is continued from when it is started again"
            )
        return dict(json.loads(evidence.read_text(encoding="utf-8")))


def _torchrun(module: str, place: TrainerPlace, folder: Path) -> int:
    """Start the processes and wait for them; SIGTERM is passed on."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={place.processes}"]
    command += ["--max-restarts=0", f"--shutdown-timeout={GRACE_SECONDS}"]
    command += ["-m", module, str(folder)]
    # torchrun would set one thread a process and say so; what the task was given is divided instead.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // place.processes))
    environment = {**os.environ, WORKER_VARIABLE: str(folder), "OMP_NUM_THREADS": threads}
    with subprocess.Popen(command, env=environment) as process, _passing_on(process):
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM goes to the processes, which store a checkpoint and end; this one waits for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(folder: Path) -> ReadableError | None:
    """The error that the processes ended with: being told to stop first, else that of the lowest rank."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("error-*.json"))]
    if not found:
        return None
    first = next((one for one in found if one["exit_code"] == errors.StoppedError.exit_code), found[0])
    kind = getattr(errors, first["kind"], StageError)
    problem: ReadableError = kind(first["text"])
    return problem
