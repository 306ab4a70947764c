"""The first process of each pod of a TrainJob: `python -m components.training.job.node URI ATTEMPT`.

It fetches the request, is torchrun for the workers of its node, and stores what they leave: the model, or an error.
Kubeflow Trainer tells torchrun by PET_* variables which node this is. Its exit code says what JobSet may do: 75, and
whatever kills a process, is worth another attempt from the last checkpoint; the runtime's podFailurePolicy ends the job
for the others.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import InputError, ReadableError, StoppedError, UnavailableError
from components.platform import logs
from components.platform.environment import quiet_environment
from components.platform.folders.deletion import clear_workspaces, workspace
from components.platform.lineage import code_digest
from components.platform.machine import check_gpus, home, needs_space
from components.platform.models import local_model
from components.training.job import transport
from components.training.job.body import GRACE_SECONDS
from components.training.workers.folder import EVIDENCE, REQUEST, WORKER_VARIABLE, errors_of

LOG = logging.getLogger(__name__)
_SCRATCH = "scratch"


def main(uri: str, attempt: str) -> int:
    """Do this node's part of the request at `uri`; returns the exit code of the pod."""
    quiet_environment()
    logs.configure()
    node = int(os.environ.get("PET_NODE_RANK", "0"))
    clear_workspaces(home() / _SCRATCH)
    try:
        transport.forget_error(uri, attempt, node)
        with workspace(home() / _SCRATCH, "node-") as folder, needs_space(folder):
            _work(uri, node, folder)
    except ReadableError as error:
        LOG.error("%s", error)
        transport.put_error(uri, attempt, node, error)
        return StoppedError.exit_code if isinstance(error, UnavailableError) else error.exit_code
    except _DiedError as error:  # the pod's own reason and last lines are what there is to know
        LOG.error("%s", error)
        return StoppedError.exit_code
    return 0


class _DiedError(Exception):
    """A worker ended without leaving an error."""


def _work(uri: str, node: int, folder: Path) -> None:
    with _ending():
        request = _prepared(uri, folder)
    module, given = request["module"], request["given"]
    out = Path(given["out"])
    began = time.monotonic()
    died = _torchrun(module, folder)
    if problem := transport.first_error(errors_of(folder)):
        raise problem
    if died:
        raise _DiedError(f"{module}: a process of node {node} {died} without saying why: killed, or its peers were")
    if node == 0:
        seconds, place = time.monotonic() - began, request["place"]
        evidence = json.loads((folder / EVIDENCE).read_text(encoding="utf-8"))
        evidence["gpu_seconds"] = round(seconds * place["nodes"] * place["gpus"], 2)
        transport.put_result(uri, out, evidence, given["code"])


@contextmanager
def _ending() -> Iterator[None]:
    """SIGTERM ends the process, as it does not by itself for the first one of a container; nothing is lost yet."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(StoppedError.exit_code))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _prepared(uri: str, folder: Path) -> dict[str, Any]:
    """The request as this node's workers get it, with what they read on this disk."""
    check_gpus()
    request = transport.get_request(uri, folder / "request")
    module, given = request["module"], request["given"]
    if given["code"] and given["code"] != (found := code_digest(module)):
        raise InputError(
            f"{module}: this image has other code ({found[:12]}) than the task that asks ({given['code'][:12]}); "
            "set the profile's gpu_image and the runtime's image to the same"
        )
    local_model(given["model"])  # once a node, and not by each of its processes
    given |= {"mix": str(folder / "request" / transport.MIX), "out": str(folder / "model")}
    (folder / REQUEST).write_text(json.dumps({"place": request["place"], "given": given}), encoding="utf-8")
    return request


def _torchrun(module: str, folder: Path) -> str:
    """Start this node's workers and wait for them; returns how they died, "" where all ended well.

    Nodes, processes and the first node's address are in torchrun's own variables, which begin with PET_.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    processes = int(os.environ.get("PET_NPROC_PER_NODE", "1"))
    # torchrun would set one thread a process and say so; what the pod was given is divided instead.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    os.environ[WORKER_VARIABLE] = str(folder)
    arguments = ["--max-restarts=0", f"--shutdown-timeout={GRACE_SECONDS}", "-m", module, str(folder)]
    try:
        run.run(run.parse_args(arguments))
    except ChildFailedError as error:
        return f"ended with {error.get_first_failure()[1].exitcode}"
    except SignalException as error:
        return f"was stopped by {error.sigval.name}"
    except Exception as error:  # of torchrun itself: the first node could not be reached
        return f"could not be started ({error})"
    finally:
        # torchrun's handler stays; what follows ends within the grace period.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return ""


def told(arguments: list[str]) -> dict[str, Any]:
    """The two arguments of the command line by name; raises InputError for any others."""
    if len(arguments) != 2:
        raise InputError("write: python -m components.training.job.node URI ATTEMPT; a TrainJob does")
    return dict(zip(("uri", "attempt"), arguments, strict=True))


if __name__ == "__main__":
    sys.exit(main(**told(sys.argv[1:])))
