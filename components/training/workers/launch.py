"""A trainer in other processes: `torchrun` as a child of this one, or a TrainJob's pods. This process only waits.

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

from components.errors import StageError
from components.platform.execution import STORED
from components.platform.machine import needs_space
from components.platform.models import local_model
from components.platform.processes import own_modules
from components.platform.tracking.runs import STAGE_RUN_VARIABLE
from components.training.job import transport
from components.training.job.body import GRACE_SECONDS, name_of, train_job
from components.training.place import TrainerPlace
from components.training.workers.folder import EVIDENCE, REQUEST, WORKER_VARIABLE, errors_of, work_folder

LOG = logging.getLogger(__name__)


def elsewhere(place: TrainerPlace) -> bool:
    """Whether the training is to be done by processes that are still to be started."""
    return (place.processes > 1 or place.launch == "trainjob") and WORKER_VARIABLE not in os.environ


def launch(
    module: str, place: TrainerPlace, mix: Path, model: str, config: BaseModel, checkpoints: str, out: Path, code: str
) -> dict[str, Any]:
    """What `place.processes` processes return that run `module`, a trainer's stage; it ends in main.end_with.

    `out` is the folder of the result: processes of this machine work inside it, in a folder that is removed here. A
    TrainJob's model stays in the store, and the evidence says where (STORED).
    Raises the workers' own ReadableError, StoppedError among them; StageError when they died without a word.
    """
    given = {"model": model, "config": config.model_dump(mode="json"), "checkpoints": checkpoints, "code": code}
    if place.launch == "trainjob":
        return _by_job(module, place, mix, given)
    local_model(model)  # fetched once, and not by every process
    given |= {"mix": str(mix), "out": str(out)}
    with needs_space(out), work_folder(out) as folder:
        request = {"place": _told_place(place), "given": given}
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        status = _torchrun(module, place, folder)
        if problem := transport.first_error(errors_of(folder)):
            raise problem
        evidence = folder / EVIDENCE
        if status or not evidence.is_file():
            raise StageError(
                f"{module}: a process of the training died (torchrun ended with {status}) without saying why: killed, "
                "or out of memory; the last stored checkpoint is continued from when it is started again"
            )
        return dict(json.loads(evidence.read_text(encoding="utf-8")))


def _by_job(module: str, place: TrainerPlace, mix: Path, given: dict[str, Any]) -> dict[str, Any]:
    """What the pods of a TrainJob made of this request: before, if nobody took it, or now."""
    from components.platform.cluster.api import connect
    from components.training.job.watcher import ROLE, Watcher, new_attempt

    checkpoints = str(given["checkpoints"])
    request = {"module": module, "place": _told_place(place), "given": given}
    uri = transport.address(checkpoints, request, mix)
    evidence = transport.get_result(uri)
    if evidence is None:
        transport.put_request(uri, request, mix)
        names = (STAGE_RUN_VARIABLE, *place.job.environment)
        environment = {name: os.environ[name] for name in names if name in os.environ}
        name = name_of(module.rpartition(".")[2], checkpoints)
        wanted = train_job(name, place, uri, new_attempt(), environment)
        watcher = Watcher(connect(role=ROLE), wanted, lambda attempt: transport.get_error(uri, attempt))
        watcher.run()
        evidence = transport.get_result(uri)
        watcher.delete()
        if evidence is None:  # that of a job that completed long ago was deleted: done again
            watcher.run()
            evidence = transport.get_result(uri)
        if evidence is None:
            raise StageError(f"TrainJob {name}: complete, but {uri} has no result; start it again to go on")
    return evidence | {STORED: transport.result_uri(uri)}


def _told_place(place: TrainerPlace) -> dict[str, Any]:
    """What workers are told of the place: not how they come to be there, which is no part of a request."""
    return place.model_dump(mode="json", exclude={"job"})


def _torchrun(module: str, place: TrainerPlace, folder: Path) -> int:
    """Start the processes and wait for them; SIGTERM is passed on."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={place.processes}"]
    command += ["--max-restarts=0", f"--shutdown-timeout={GRACE_SECONDS}"]
    command += ["-m", module, str(folder)]
    # torchrun would set one thread a process and say so; what the task was given is divided instead.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // place.processes))
    environment = {**os.environ, **own_modules(), WORKER_VARIABLE: str(folder), "OMP_NUM_THREADS": threads}
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
