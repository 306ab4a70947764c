"""Trainings in two processes whose workers are killed, whose store fails, is slow, or who are told to stop.

    PYTHONPATH=. python tests/bench/worker_kills.py [kills] [store] [slow] [stop] [--forked] [--json FILE]

A real S3 server behind a proxy on loopback, a tiny model with random weights, half of the trainings with whole weights
(DDP) and half with split ones (FSDP2, by a shim on the CPU). The workers are torchrun's, or with --forked those of
tests/support/ranks.py, which start in a fifth of the time. Prints Markdown. About half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from worker_bench import (
    CONFIG,
    OUTAGE_SECONDS,
    ROOT,
    WEIGHTS,
    Bench,
    Faults,
    Link,
    Watch,
    agent,
    checkpoints,
    complete,
    fork_workers,
    newest,
    newest_or,
    newest_uri,
    prepare,
    wait,
    workers,
)

from components.errors import ReadableError, StoppedError, UnavailableError
from components.platform.storage import store
from pipelines.local import servers

STORE_BYTES_PER_SECOND = 10e6
SLOW_STEPS = 200


def main() -> None:
    parts = {"kills": kills, "store": faulty_store, "slow": slow_store, "stop": told_to_stop}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(parts), metavar="PART")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--forked", action="store_true")
    parser.add_argument("--shardings", nargs="+", default=["none", "full"])
    parser.add_argument("--turns", type=int, default=2, help="trainings that are killed; pairs with saving on and off")
    parser.add_argument("--kills", type=int, default=5, help="in one training")
    args = parser.parse_args()
    if args.forked:
        fork_workers()
    random.seed(args.seed)
    os.environ["PYTHONPATH"] = f"{ROOT}/tests/support/at_start:{ROOT}/tests/support:{ROOT}"
    os.environ.setdefault("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # not asked, so not started
    up = servers.up()
    os.environ.update(up.environment)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), os.environ["AWS_ENDPOINT_URL_S3"], args.shardings, args.turns, args.kills)
        prepare(bench.folder)
        for name in args.parts:
            found[name] = []
            for row in parts[name](bench):
                print(row, flush=True)
                found[name].append(row)
            print(f"\n### {name}\n\n{table(found[name])}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def kills(bench: Bench) -> Iterator[dict[str, Any]]:
    """SIGKILL to a random worker: after a checkpoint was stored, or while one is being stored."""
    link = Link(bytes_per_second=25e6)
    with bench.behind(link):
        for sharding in bench.shardings:
            whole, _ = bench.train(sharding, bench.uri(), f"whole-{sharding}")
            for training in range(bench.turns):
                uri, resumed, uploading = bench.uri(), [], 0
                for kill in range(bench.kills):
                    killer = Killer(uri, newest(uri), link if (kill + training) % 2 else None)
                    error, at = bench.train(sharding, uri, "killed")
                    assert isinstance(error, ReadableError), "it ended before it was killed; take more steps"
                    killer.join()
                    uploading += killer.uploading()
                    resumed += [at] if kill else []
                last, at = bench.train(sharding, uri, "killed")
                yield (
                    {
                        "weights": WEIGHTS[sharding],
                        "kills": bench.kills,
                        "during an upload": uploading,
                        "resumed from": " ".join(str(step) for step in [*resumed, at]),
                        "restarts from zero": sum(not step for step in [*resumed, at]),
                        "equal to unbroken": last["weights_sha256"] == whole["weights_sha256"],
                    }
                )


class Killer(threading.Thread):
    """Kills a random worker once a checkpoint after step `before` counts; with `link` while the next one is sent."""

    def __init__(self, uri: str, before: int, link: Link | None) -> None:
        super().__init__(daemon=True)
        self.uri, self.before, self.link, self.folders = uri, before, link, set[str]()
        self.start()

    def run(self) -> None:
        wait(lambda: newest(self.uri) > self.before)
        if self.link:
            self.link.sending.clear()
            wait(self.link.sending.is_set)
            time.sleep(random.uniform(0.0, 0.8))
        else:
            time.sleep(random.uniform(0.0, 2.0))
        self.folders = complete(self.uri)
        random.choice(workers()).kill()

    def uploading(self) -> bool:
        """Whether there is a checkpoint that was begun before the kill and never became complete."""
        return bool(checkpoints(self.uri) - complete(self.uri) - self.folders)


def faulty_store(bench: Bench) -> Iterator[dict[str, Any]]:
    for sharding in bench.shardings:
        whole, _ = bench.train(sharding, bench.uri(), f"whole-{sharding}")
        uri, faults, errors = bench.uri(), Faults(), []
        resumed: list[int | str] = []
        with bench.behind(faults):
            for attempt in range(12):
                teller = threading.Thread(target=_stop_after, args=(uri, newest_or(uri), attempt < 3), daemon=True)
                teller.start()
                if attempt == 1:
                    faults.outage_from = time.monotonic() + 20  # while it trains
                result, at = bench.train(sharding, uri, "out")
                # One that does not reach its checkpoint at the start takes no step.
                refused = isinstance(result, UnavailableError) and "could not be stored" not in str(result)
                resumed.append("refused" if refused else at)
                if not isinstance(result, ReadableError):
                    break
                errors.append(type(result).__name__)
        yield (
            {
                "weights": WEIGHTS[sharding],
                "requests that failed": faults.failed,
                "answers cut short": faults.cut,
                "outage": f"{OUTAGE_SECONDS:.0f} s",
                "ended by": ", ".join(errors),
                "resumed from": " ".join(map(str, resumed)),
                "restarts from zero": resumed[1:].count(0),
                "equal to unbroken": result["weights_sha256"] == whole["weights_sha256"],
            }
        )


def _stop_after(uri: str, before: int, really: bool) -> None:
    """SIGTERM to a worker once a newer checkpoint counts."""
    if really:
        wait(lambda: newest_or(uri) > before)
        random.choice(workers()).send_signal(signal.SIGTERM)


def slow_store(bench: Bench) -> Iterator[dict[str, Any]]:
    """Wall and CPU time with a store at 10 MB/s against saving off, in turns; the disk's peak, after a resume too."""
    off = CONFIG.model_copy(update={"max_steps": SLOW_STEPS, "global_batch": 8, "save_steps": 1000})
    on = off.model_copy(update={"save_minutes": 0.35})  # about as long as the store takes for one
    for sharding in bench.shardings:
        walls: dict[bool, list[float]] = {True: [], False: []}
        cpus: dict[bool, list[float]] = {True: [], False: []}
        stored, first, held_up = 0, [], []
        for turn in range(2 * bench.turns):
            saving, uri = bool(turn % 2), bench.uri()
            with bench.behind(Link(STORE_BYTES_PER_SECOND)), Watch(bench.folder / "slow") as watch:
                began = time.monotonic()
                result, _ = bench.train(sharding, uri, "slow", on if saving else off, "larger")
                walls[saving].append(time.monotonic() - began)
            assert not isinstance(result, ReadableError), result
            cpus[saving].append(watch.cpu)
            if saving:
                stored = len(complete(uri))
                size = sum(entry["size"] for entry in store.read_manifest(newest_uri(uri))["files"])
                first.append(watch.peak / size)
                held_up.append(bench.held_up)
        again = bench.uri()
        with bench.behind(Link(STORE_BYTES_PER_SECOND)):
            threading.Thread(target=_stop_after, args=(again, 0, True), daemon=True).start()
            bench.train(sharding, again, "slow-resumed", on, "larger")
            with Watch(bench.folder / "slow-resumed") as watch:
                result, at = bench.train(sharding, again, "slow-resumed", on, "larger")
        assert at > 0 and result["weights_sha256"], "it did not resume"
        yield {
            "weights": WEIGHTS[sharding],
            "checkpoint": f"{size / 1e6:.0f} MB",
            "saving off, s": " ".join(f"{wall:.0f}" for wall in walls[False]),
            "saving on, s": " ".join(f"{wall:.0f}" for wall in walls[True]),
            "ratio of medians": round(median(walls[True]) / median(walls[False]), 3),
            "CPU off, s": " ".join(f"{cpu:.0f}" for cpu in cpus[False]),
            "CPU on, s": " ".join(f"{cpu:.0f}" for cpu in cpus[True]),
            "held up": "; ".join(held_up),
            "ratio of CPU": round(median(cpus[True]) / median(cpus[False]), 3),
            "stored": stored,
            "disk peak": round(max(first), 2),
            "disk peak, resumed": round(watch.peak / size, 2),
        }


def told_to_stop(bench: Bench) -> Iterator[dict[str, Any]]:
    """SIGTERM to torchrun itself, and to one worker only."""
    for sharding in bench.shardings:
        for told in ("torchrun", "one worker"):
            uri = bench.uri()
            out = f"stopped-{sharding}-{told.split()[0]}"

            def tell(uri: str = uri, told: str = told) -> None:
                wait(lambda: newest(uri) > 0)
                (agent() if told == "torchrun" else workers()[1]).send_signal(signal.SIGTERM)

            threading.Thread(target=tell, daemon=True).start()
            error, _ = bench.train(sharding, uri, out)
            step = newest(uri)
            result, at = bench.train(sharding, uri, out)
            yield (
                {
                    "weights": WEIGHTS[sharding],
                    "told": told,
                    "exit code": getattr(error, "exit_code", 0),
                    "stopped after, stored": f"{re.findall(r'after step (.+?) of', str(error))} {step}",
                    "resumed from": at,
                    "stopped": isinstance(error, StoppedError),
                    "steps": result["steps"],
                }
            )


def table(rows: list[dict[str, Any]]) -> str:
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
