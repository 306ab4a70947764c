"""One cell of the fault matrix: a command started under a fault, and what is left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

from bench import SECONDS, Bench, ended, place, started
from faulty_proxy import proxy
from moved_clock import MovedClock
from page import FAILED, RECOVERED, REFUSED, UNTOUCHED, Cell, last, warning
from rows import Row

TRACEBACK = "Traceback (most recent call last)"
# Seconds that the clock goes back by: further than NTP corrects silently, less than S3's signatures allow.
STEP = -240
# Where a command waits for its interruption, so that there is time for it.
SLOWER = {"run": "evaluate-m:sleep=4", "sft": "manifest:sleep=2", "promote": "pointer moved:sleep=4"}
Tried = tuple[str, str]


def cell(bench: Bench, row: Row, column: str) -> Cell:
    """Try one command under one fault."""
    began = time.monotonic()
    try:
        verdict, said = _Trial(bench, row, column).tried()
    except Exception as error:  # the matrix's own trouble is no verdict about the command
        verdict, said = f"not tried: {type(error).__name__}", traceback.format_exc()[-400:]
    print(f"{row.name:40} {column:9} {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return Cell(row.name, column, verdict, said)


class _Trial:
    def __init__(self, bench: Bench, row: Row, column: str) -> None:
        self.bench, self.row, self.column = bench, row, column
        self.place = place(bench.folder)
        self.command = bench.command(column, self.place)
        self.environment = {**bench.environment, "BIOMED_R1_HOME": str(self.place / "h")}
        self.out = self.place / "out"

    def tried(self) -> Tried:
        row, column = self.row, self.column
        if column in ("sft", "evaluate") and row.kind == "mlflow":
            return UNTOUCHED, ""  # these verbs write files and ask no MLflow
        if column == "doctor" and row.action in ("kill", "term", "twice"):
            return UNTOUCHED, ""  # it leaves nothing to be lost
        if column == "promote":
            self.bench.registered(self.place)
        verdict, said = self._by_action()
        if column == "promote" and verdict != UNTOUCHED and (wrong := self._not_promoted()):
            return f"LOST: {wrong}", said
        return verdict, said

    def _by_action(self) -> Tried:
        if self.row.action == "disk":
            with ExitStack() as stack:
                return self._on_a_full_disk(stack)
        if self.row.action in ("kill", "term"):
            return self._interrupted()
        if self.row.action == "twice":
            return self._twice()
        return self._clock_step() if self.row.action == "clock" else self._behind_proxies()

    def _behind_proxies(self) -> Tried:
        faulty = {**self.environment, **self.row.variables}
        hits: list[int] = []
        with ExitStack() as stack:
            for made, name in ((self.row.s3, "AWS_ENDPOINT_URL_S3"), (self.row.mlflow, "MLFLOW_TRACKING_URI")):
                if made:
                    rule = made()
                    counted = lambda asked, rule=rule: (answer := rule(asked)) and (hits.append(1), answer)[1]  # noqa: E731
                    faulty[name] = stack.enter_context(proxy(self.environment[name], counted)).url
            code, said = ended(started(self.command, faulty))
        if code == 0 and not hits and not self.row.variables:
            return UNTOUCHED, ""  # it asked nothing that is refused
        return self._verdict(code, said)

    def _verdict(self, code: int, said: str) -> Tried:
        """What an end means; after a failure the same command is started again without the fault."""
        if TRACEBACK in said:
            return "TRACEBACK", said[-600:]
        if code == 0:
            return RECOVERED, warning(said)
        if self.column != "promote" and not self._begun(said):
            return REFUSED, last(said)
        begun = self._begun(said)
        code, later = ended(started(self.command, self.environment))
        return ((FAILED if begun else REFUSED) if code == 0 else f"LOST: then {last(later)}"), last(said)

    def _begun(self, said: str) -> bool:
        """Whether a command that has ended had begun its work."""
        return {
            "doctor": lambda: False,
            "run": lambda: "logs in" in said,
            "sft": lambda: "biomed-r1: --checkpoints" not in said,
            "evaluate": lambda: any(self.out.glob("answers*")),
            "promote": self._moved,
        }[self.column]()

    def _under_way(self) -> bool:
        """Whether it works: a first answer is written, a first checkpoint is being stored, the pointer has moved."""
        if self.column == "evaluate":
            return any(self.out.glob("answers.journal/*/*"))
        if self.column == "sft":
            from components.platform.storage import store

            return any("/checkpoint-" in name for name in store.list_files(self.bench.checkpoints(self.place)))
        if self.column == "promote":
            return self._moved()
        return any((Path(self.environment["BIOMED_R1_HOME"]) / "runs").glob("*/logs/evaluate-m.log"))

    def _wait_until_under_way(self, process: subprocess.Popen[bytes]) -> str:
        """ "" when it works; why it cannot be interrupted otherwise."""
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._under_way():
                return ""
            time.sleep(0.1 if self.column in ("sft", "promote") else 0.02)
        return f"not tried: ended before it was under way ({process.returncode})"

    def _interrupted(self) -> Tried:
        slower = SLOWER.get(self.column, "")
        process = started(self.command, {**self.environment, "BIOMED_R1_FAULT": slower})
        if early := self._wait_until_under_way(process):
            return early, ended(process)[1][-300:]
        os.killpg(process.pid, signal.SIGKILL if self.row.action == "kill" else signal.SIGTERM)
        said = ended(process)[1]
        if TRACEBACK in said:
            return "TRACEBACK", said[-600:]
        code, later = ended(started(self.command, self.environment))
        return (RECOVERED if code == 0 else f"LOST: then {last(later)}"), last(said)

    def _clock_step(self) -> Tried:
        """The clock is set while the command works, on servers that were started before; doctor starts afterwards."""
        from pipelines.local import servers

        clock = MovedClock(self.place / "clock")
        before = servers.read_state()
        if self.column in ("doctor", "run"):  # these find the servers by themselves
            named = ("MLFLOW_TRACKING_URI", "BIOMED_R1_STORE", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL")
            self.environment = {k: v for k, v in self.environment.items() if k not in named}
            self.environment["BIOMED_R1_HOME"] = self.bench.environment["BIOMED_R1_HOME"]
        if self.column == "doctor":
            clock.step(STEP)
        slower = {"BIOMED_R1_FAULT": SLOWER.get(self.column, "")}
        process = started(self.command, {**self.environment, **slower}, clock)
        if self.column != "doctor":
            if early := self._wait_until_under_way(process):
                return early, ended(process)[1][-300:]
            clock.step(STEP)
        verdict, said = self._verdict(*ended(process))
        if servers.read_state() != before:
            return "LOST: servers were started a second time", said
        return verdict, said

    def _twice(self) -> Tried:
        other = [f"{word}-2" if word == str(self.out) else word for word in self.command]
        processes = [started(words, self.environment) for words in (self.command, other)]
        ends = [ended(process) for process in processes]
        if any(TRACEBACK in said for _, said in ends):
            return "TRACEBACK", next(said for _, said in ends if TRACEBACK in said)[-600:]
        # Of two that train the same, the one that started last goes on; of two that promote, the first one has.
        beaten = [said for code, said in ends if code and (code == 4 or "training was started again" in said)]
        bad = [said for code, said in ends if code and said not in beaten]
        return (f"LOST: {last(bad[0])}" if bad else RECOVERED), last(beaten[0]) if beaten else ""

    def _on_a_full_disk(self, stack: ExitStack) -> Tried:
        """Home, caches and output on 4 MB; afterwards the same disk is larger."""
        disk = self.place / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
        mounted = subprocess.run(mount, capture_output=True, text=True)
        if mounted.returncode:
            return "not tried: a tmpfs cannot be mounted here", mounted.stderr.strip()
        stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
        self.environment |= {"BIOMED_R1_HOME": str(disk / "h"), "TMPDIR": str(disk)}
        # As in a user's hands: a run wants gigabytes.
        wanted = {"BIOMED_R1_NEEDED_DISK_BYTES": str(10**9)} if self.column in ("doctor", "run") else {}
        self.command = [str(disk / "out") if word == str(self.out) else word for word in self.command]
        self.out = disk / "out"
        code, said = ended(started(self.command, {**self.environment, **wanted}))
        subprocess.run(["mount", "-o", "remount,size=900m", str(disk)], check=True)
        return self._verdict(code, said)

    def _moved(self) -> bool:
        from components.serving import pointer

        return pointer.read(self.bench.root, self.place.name) is not None

    def _not_promoted(self) -> str:
        """What differs from one promotion of version 1 that is known everywhere; "" for nothing."""
        from components.platform.tracking import registry
        from components.serving import audit, pointer

        root, name = self.bench.root, self.place.name
        found = pointer.read(root, name)
        if found is None or found[0].champion is None:
            return "no pointer"
        log = [(entry.serial, entry.changed.what) for entry in audit.walk(root, name)]
        if (found[0].champion.version, log) != ("1", [(1, "promoted")]):
            return f"version {found[0].champion.version} serves, the log is {log}"
        aliases = registry.aliases(name)
        return "" if aliases == {registry.CHAMPION: "1"} else f"the aliases are {aliases}"
