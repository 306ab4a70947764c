"""Task processes of the suite's runs, forked from one interpreter that has imported what they need.

`python -m components.ops ...` spends most of its seconds importing torch, MLflow and KFP. With VARIABLE set and
`at_start` first on PYTHONPATH, such a process hands its arguments, variables, folder and outputs to the server here.
That forks a child which runs the same module; the process ends as the child ended. Runs whose tasks import for
themselves: tests/pipelines/test_whole_runs.py and test_kill.py.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VARIABLE = "BIOMED_R1_TEST_INTERPRETERS"
LONGEST_PATH = 100  # of a Unix socket: 108 bytes on Linux, 104 on a Mac
MODULE = "components.ops"
IMPORTED = (
    "kfp.dsl.executor_main", "mlflow.pyfunc", "pandas", "pyarrow.parquet", "sklearn.linear_model", "datasets",
    "torch", "torch._dynamo", "transformers.models.llama.modeling_llama", "trl", "peft",
    "components.ops.training", "components.ops.evaluation",
)  # fmt: skip


@contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The variables with which a process uses the server, until the `with` block ends; none if its path is too long."""
    path = folder / "interpreters"
    if len(str(path)) > LONGEST_PATH:
        yield {}
        return
    here = Path(__file__).parent
    paths = [str(here), str(here.parents[1]), environment.get("PYTHONPATH", "")]
    variables = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "_KFP_RUNTIME": "true"}
    server = subprocess.Popen([sys.executable, "-m", "interpreters", str(path)], env=variables)
    try:
        yield {VARIABLE: str(path), "PYTHONPATH": os.pathsep.join([str(here / "at_start"), *paths[1:]])}
    finally:
        server.terminate()
        server.wait(timeout=30)


def ask(path: str) -> int | None:
    """The exit code of this process's module, run by the server; None where the server is not there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        for _ in range(600):  # it imports for some seconds
            try:
                connection.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        else:
            return None
        connection.settimeout(None)
        told = {"arguments": sys.orig_argv[3:], "variables": dict(os.environ), "folder": os.getcwd()}
        text = json.dumps(told).encode()
        socket.send_fds(connection, [len(text).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(text)
        answer = connection.makefile().readline()
    return int(answer or 1)


def serve(path: str) -> None:
    for name in IMPORTED:
        __import__(name)
    from components.platform.storage import s3

    s3.client(), s3.client(quick=True)  # a fifth of a second each; they have no connection yet
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(16)
    listening.settimeout(2)
    parent, children = os.getppid(), 0
    while os.getppid() == parent:  # a suite that was killed leaves no server
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        connection.setblocking(True)
        while children and os.waitpid(-1, os.WNOHANG)[0]:
            children -= 1
        children += 1
        if os.fork() == 0:  # waits for the task, so that several can run at once
            listening.close()
            connection.sendall(f"{_run(connection)}\n".encode())
            os._exit(0)
        connection.close()


def _run(connection: socket.socket) -> int:
    size, fds, _, _ = socket.recv_fds(connection, 4, 3)
    told = json.loads(connection.makefile("rb").read(int.from_bytes(size, "big")))
    if task := os.fork():
        for fd in fds:
            os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(task, 0)[1])
    for fd, number in zip(fds, (0, 1, 2), strict=True):
        os.dup2(fd, number)
    os._exit(_task(told))


def _task(told: dict[str, Any]) -> int:
    os.environ.clear()
    os.environ.update(told["variables"])
    os.chdir(told["folder"])
    sys.argv = ["-m", *told["arguments"]]
    code: Any = 0
    try:
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve(sys.argv[1])
