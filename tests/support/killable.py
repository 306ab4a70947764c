"""Commands in children that are killed with SIGKILL after their n-th write, forked from one process that imported all.

`Killable.run` starts `python -m killable` once; each job is a fork of it, so a kill costs no second of imports. A write
is every request that changes S3 or MLflow: the child counts the answers, whichever function of ours asked.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from memory_target import QUICK, MemoryTarget

from components.platform.storage import objects
from components.serving.deploy.status import Colour
from components.serving.pointer import Served

WRITES = ("Put", "Delete", "Copy", "CompleteMultipart")


class Killable:
    """Runs jobs one after another, each in a child of its own; ends with the `with` block."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "said.txt"
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        self.server = subprocess.Popen(
            [sys.executable, "-m", "killable"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def __enter__(self) -> Killable:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(timeout=30)

    def run(self, job: dict[str, Any], kill_after: int = 0) -> int:
        """The exit code of a job, -9 where it was killed after so many writes; what it said is in `said`."""
        assert self.server.stdin is not None and self.server.stdout is not None
        job = {**job, "kill_after": kill_after, "said": str(self.said), "store": os.environ.get("BIOMED_R1_STORE", "")}
        print(json.dumps(job), file=self.server.stdin, flush=True)
        return int(self.server.stdout.readline())


class StoredTarget(MemoryTarget):
    """A place that serves whose state is an object in the store, so each change of it is a write."""

    def __init__(self, uri: str, faults: dict[str, str]) -> None:
        super().__init__()
        self.uri, self.faults = uri, faults
        if found := objects.get_json(uri):
            self.colours, self.now, self.seen = found["colours"], found["now"], found["seen"]

    def apply(self, colour: Colour, what: Served) -> None:
        super().apply(colour, what)
        self._save()

    def switch(self, colour: Colour) -> None:
        super().switch(colour)
        self._save()

    def stop(self, colour: Colour) -> None:
        super().stop(colour)
        self._save()

    def _save(self) -> None:
        objects.put_json(self.uri, {"colours": self.colours, "now": self.now, "seen": self.seen})


def serve() -> None:
    """Fork a child for each line of standard input and print its exit code."""
    import mlflow  # noqa: F401 - here once, not in each child

    import pipelines.cli.models  # noqa: F401
    from components.platform.storage import s3

    s3.client(), s3.client(quick=True)  # a fifth of a second each; they have no connection yet

    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_child(job))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _child(job: dict[str, Any]) -> int:
    with open(job["said"], "w", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.environ["BIOMED_R1_STORE"] = job["store"]
    _count_writes(job["kill_after"])
    try:
        code = _deploy(job) if "target" in job else _command(job["words"])
    except BaseException:
        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _count_writes(kill_after: int) -> None:
    """Have this process killed when the answer to its `kill_after`-th write is there (0: never)."""
    from botocore.client import BaseClient
    from requests import Session

    turns = itertools.count(1)

    def written() -> None:
        if next(turns) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    call = BaseClient._make_api_call

    def calling(self: BaseClient, operation: str, *more: Any) -> Any:
        answer = call(self, operation, *more)
        if operation.startswith(WRITES):
            written()
        return answer

    BaseClient._make_api_call = calling
    send = Session.send

    def sending(self: Session, request: Any, **more: Any) -> Any:
        answer = send(self, request, **more)
        if request.method in ("PUT", "PATCH", "DELETE") or (request.method == "POST" and "search" not in request.url):
            written()
        return answer

    Session.send = sending  # type: ignore[method-assign]


def _command(words: list[str]) -> int:
    from components.errors import ReadableError
    from components.serving import promote
    from pipelines.cli.models import promote_command, rollback_command

    promote.check_store = lambda root: None  # a second of writes of its own, to keys that nobody reads
    command = {"promote": promote_command, "rollback": rollback_command}[words[0]]
    try:
        command.main(words[1:], standalone_mode=False)
    except ReadableError as error:
        print(error)
        return error.exit_code
    return 0


def _deploy(job: dict[str, Any]) -> int:
    """A deployment; 0 accepted, 1 not. `wrong` in `faults` is what fails the smoke test."""
    from dataclasses import replace

    from components.serving.deploy import smoke
    from components.serving.deploy.machine import Deployment

    target = StoredTarget(job["target"], job["faults"])
    smoke.check = lambda url, uri, *_, **__: ["others"] if job["faults"].get(uri) == "wrong" else []
    terms = replace(QUICK, strategy=job["strategy"])
    status = Deployment(job["root"], job["name"], target, terms, "test").run()
    print(json.dumps([note.state for note in status.history]))
    return int(status.state != "accepted")


if __name__ == "__main__":
    serve()
