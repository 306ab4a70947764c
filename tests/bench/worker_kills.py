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
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import ranks  # noqa: E402
from faulty_proxy import Answer, Asked, proxy, s3_error  # noqa: E402
from tiny_model import tiny  # noqa: E402

from components.errors import ReadableError, StoppedError  # noqa: E402
from components.platform.storage import objects, s3, store  # noqa: E402
from components.platform.tables import write_rows  # noqa: E402
from components.stages.sft import SftConfig, sft  # noqa: E402
from components.training.place import TrainerPlace  # noqa: E402
from components.training.workers import launch  # noqa: E402
from pipelines.local import servers  # noqa: E402

CONFIG = SftConfig(
    max_steps=24, save_steps=2, global_batch=4, learning_rate=1e-3, optim="adamw_torch", device="cpu", max_length=256
)
KILLS_EACH = 5  # in one training
OUTAGE_SECONDS = 60.0
STORE_BYTES_PER_SECOND = 10e6


def place(sharding: Any) -> TrainerPlace:
    return TrainerPlace(gpus=2, launch="torchrun", sharding=sharding)


@dataclass
class Link:
    """A proxy's rule: all bodies of checkpoints' files share one line of so many bytes a second."""

    bytes_per_second: float
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    sending: threading.Event = field(default_factory=threading.Event)

    def __call__(self, asked: Asked) -> Answer | None:
        if asked.method != "PUT" or "/checkpoint-" not in asked.path or len(asked.body) < 100_000:
            return None
        self.sending.set()
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + len(asked.body) / self.bytes_per_second
            return Answer(0, wait=self.free_at - time.monotonic())


@dataclass
class Faults:
    """One request in ten fails, one body in a hundred is cut short, and once nothing answers for a minute."""

    random: random.Random = field(default_factory=lambda: random.Random(18))
    outage_from: float = float("inf")
    failed: int = 0
    cut: int = 0

    def __call__(self, asked: Asked) -> Answer | None:
        now, drawn = time.monotonic(), self.random.random()
        if drawn < 0.10 or self.outage_from <= now < self.outage_from + OUTAGE_SECONDS:
            self.failed += 1
            return s3_error(self.random.choice([500, 503]), "InternalError", "planted")
        if drawn < 0.11 and asked.method == "GET":
            self.cut += 1
            return Answer(0, cut=True)
        return None


@dataclass
class Bench:
    """A folder, the data and the model in it, and the store's address."""

    folder: Path
    endpoint: str
    shardings: list[str]
    turns: int  # of saving off and on
    number: int = 0

    def uri(self) -> str:
        """An address of its own for one training's checkpoints."""
        self.number += 1
        return f"s3://{servers.BUCKET}/worker-kills/{os.getpid()}/{self.number}"

    def train(self, sharding: str, uri: str, out: str, config: SftConfig = CONFIG, model: str = "tiny") -> Any:
        """The evidence, or the error that the training ended with; and the step that it resumed from, as it logged."""
        log = self.folder / "log"
        with said_to(log):
            try:
                result = sft(
                    self.folder / "mix.parquet",
                    str(self.folder / model),
                    config,
                    uri,
                    self.folder / out,
                    place=place(sharding),
                )
            except ReadableError as error:
                result = error
        steps = re.findall(r"resuming from step (\d+)", log.read_text(errors="replace"))
        return result, int(steps[0]) if steps else 0

    @contextmanager
    def behind(self, *rules: Any) -> Iterator[None]:
        with proxy(self.endpoint, *rules) as server:
            os.environ["AWS_ENDPOINT_URL_S3"] = server.url
            s3.client.cache_clear()
            try:
                yield
            finally:
                os.environ["AWS_ENDPOINT_URL_S3"] = self.endpoint
                s3.client.cache_clear()


def main() -> None:
    parts = {"kills": kills, "store": faulty_store, "slow": slow_store, "stop": told_to_stop}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=list(parts))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--forked", action="store_true")
    parser.add_argument("--shardings", nargs="+", default=["none", "full"])
    parser.add_argument("--turns", type=int, default=2)
    args = parser.parse_args()
    if args.forked:
        launch._torchrun = ranks.run  # type: ignore[assignment]
    random.seed(args.seed)
    os.environ["PYTHONPATH"] = f"{ROOT}/tests/support/at_start:{ROOT}/tests/support:{ROOT}"
    os.environ.setdefault("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # not asked, so not started
    up = servers.up()
    os.environ.update(up.environment)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), os.environ["AWS_ENDPOINT_URL_S3"], args.shardings, args.turns)
        prepare(bench.folder)
        for name in args.parts or list(parts):
            found[name] = []
            for row in parts[name](bench):
                print(row, flush=True)
                found[name].append(row)
            print(f"\n### {name}\n\n{table(found[name])}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def prepare(folder: Path) -> None:
    asked = {"prompt": json.dumps([{"role": "user", "content": "Which metal?\nA. Zinc\nB. Iron"}]), "opening": ""}
    rows = [{**asked, "completion": f"{'Reason. ' * (k + 1)}The answer is B."} for k in range(8)]
    write_rows(rows, folder / "mix.parquet")
    tiny(folder / "tiny")
    larger(folder / "larger")


def larger(folder: Path) -> None:
    """A model whose checkpoint (fp32 weights and AdamW) has about 200 MB."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tiny(folder)
    config = AutoConfig.from_pretrained(folder, hidden_size=272, intermediate_size=1088, num_hidden_layers=3)
    config.head_dim = 68
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


def kills(bench: Bench) -> Iterator[dict[str, Any]]:
    """SIGKILL to a random worker: after a checkpoint was stored, or while one is being stored."""
    link = Link(bytes_per_second=25e6)
    with bench.behind(link):
        for sharding in bench.shardings:
            whole, _ = bench.train(sharding, bench.uri(), f"whole-{sharding}")
            for training in range(2):
                uri, resumed, uploading = bench.uri(), [], 0
                for kill in range(KILLS_EACH):
                    killer = Killer(uri, newest(uri), link if (kill + training) % 2 else None)
                    error, at = bench.train(sharding, uri, "killed")
                    assert isinstance(error, ReadableError), "it ended before it was killed; take more steps"
                    killer.join()
                    uploading += killer.uploading()
                    resumed += [at] if kill else []
                last, at = bench.train(sharding, uri, "killed")
                yield (
                    {
                        "weights": {"none": "whole", "full": "split"}[sharding],
                        "kills": KILLS_EACH,
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
        uri, faults, resumed, errors = bench.uri(), Faults(), [], []
        with bench.behind(faults):
            for attempt in range(12):
                teller = threading.Thread(target=_stop_after, args=(uri, newest_or(uri), attempt < 3), daemon=True)
                teller.start()
                if attempt == 1:
                    faults.outage_from = time.monotonic() + 20  # while it trains
                result, at = bench.train(sharding, uri, "out")
                resumed.append(at)
                if not isinstance(result, ReadableError):
                    break
                errors.append(type(result).__name__)
        yield (
            {
                "weights": {"none": "whole", "full": "split"}[sharding],
                "requests that failed": faults.failed,
                "answers cut short": faults.cut,
                "outage": f"{OUTAGE_SECONDS:.0f} s",
                "ended by": ", ".join(errors),
                "resumed from": " ".join(map(str, resumed)),
                "restarts from zero": sum(not at for at in resumed[1:]),
                "equal to unbroken": result["weights_sha256"] == whole["weights_sha256"],
            }
        )


def _stop_after(uri: str, before: int, really: bool) -> None:
    """SIGTERM to a worker once a newer checkpoint counts."""
    if really:
        wait(lambda: newest_or(uri) > before)
        random.choice(workers()).send_signal(signal.SIGTERM)


def slow_store(bench: Bench) -> Iterator[dict[str, Any]]:
    """Wall time with a store at 10 MB/s against saving off, in turns; the disk's peak, after a resume too."""
    config = CONFIG.model_copy(update={"max_steps": 48, "global_batch": 8})
    for sharding in bench.shardings:
        walls: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(2 * bench.turns):
            saving = bool(turn % 2)
            changed = config.model_copy(update={"save_steps": 5 if saving else 1000})
            uri = bench.uri()
            with bench.behind(Link(STORE_BYTES_PER_SECOND)), Disk(bench.folder / "slow") as disk:
                began = time.monotonic()
                result, _ = bench.train(sharding, uri, "slow", changed, "larger")
                walls[saving].append(time.monotonic() - began)
            assert not isinstance(result, ReadableError), result
        size = sum(entry["size"] for entry in store.read_manifest(newest_uri(uri))["files"])
        again = bench.uri()
        with bench.behind(Link(STORE_BYTES_PER_SECOND)), Disk(bench.folder / "slow-resumed") as resumed:
            changed = config.model_copy(update={"save_steps": 5})
            threading.Thread(target=_stop_after, args=(again, 0, True), daemon=True).start()
            bench.train(sharding, again, "slow-resumed", changed, "larger")
            resumed.peak = 0
            result, at = bench.train(sharding, again, "slow-resumed", changed, "larger")
        assert at > 0 and result["weights_sha256"], "it did not resume"
        yield (
            {
                "weights": {"none": "whole", "full": "split"}[sharding],
                "checkpoint": f"{size / 1e6:.0f} MB",
                "saving off": f"{min(walls[False]):.0f} s",
                "saving on": f"{min(walls[True]):.0f} s",
                "ratio": round(min(walls[True]) / min(walls[False]), 2),
                "of medians": round(median(walls[True]) / median(walls[False]), 2),
                "stored": len(checkpoints(uri)),
                "disk peak": round(disk.peak / size, 2),
                "disk peak, resumed": round(resumed.peak / size, 2),
            }
        )


class Disk:
    """The most bytes that a folder held within the block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.peak, self._over = folder, 0, threading.Event()

    def __enter__(self) -> Disk:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, sum(_size(path) for path in self.folder.rglob("*")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    except OSError:
        return 0


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
                    "weights": {"none": "whole", "full": "split"}[sharding],
                    "told": told,
                    "exit code": getattr(error, "exit_code", 0),
                    "stopped after, stored": f"{re.findall(r'after step (.+?) of', str(error))} {step}",
                    "resumed from": at,
                    "stopped": isinstance(error, StoppedError),
                    "steps": result["steps"],
                }
            )


def workers() -> list[psutil.Process]:
    """The processes of the training that runs, by rank."""
    if ranks.alive:
        return [psutil.Process(process.pid) for process in ranks.alive if process.is_alive()]
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RANK" in process.environ() and "components.stages.sft" in process.cmdline():
                found.append((int(process.environ()["RANK"]), process))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for _, process in sorted(found, key=lambda pair: pair[0])]


def agent() -> psutil.Process:
    """torchrun; with --forked this process, which passes it on as it does to torchrun."""
    return psutil.Process() if ranks.alive else workers()[0].parent()


def training(uri: str) -> str:
    return f"{uri}/{next(iter(store.list_children(uri)))}"


def checkpoints(uri: str) -> set[str]:
    return {f"{training(uri)}/{name}" for name in store.list_children(training(uri)) if name.startswith("checkpoint-")}


def complete(uri: str) -> set[str]:
    return {found for found in checkpoints(uri) if store.exists(found)}


def newest_uri(uri: str) -> str:
    entry = max(published(uri), key=lambda one: one["step"])
    return f"{training(uri)}/{entry['name']}"


def newest(uri: str) -> int:
    """The step of the newest checkpoint that counts; 0 without any."""
    return max((entry["step"] for entry in published(uri)), default=0)


def newest_or(uri: str) -> int:
    """The same through a store that fails now and then."""
    while True:
        try:
            return newest(uri)
        except ReadableError:
            time.sleep(0.2)


def published(uri: str) -> list[dict[str, Any]]:
    names = store.list_children(uri)
    lease = objects.get_json(f"{uri}/{names[0]}/lease.json") if names else None
    return lease["published"] if lease else []


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not until() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def said_to(log: Path) -> Iterator[None]:
    """What this process and its children write to the standard error goes to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def table(rows: list[dict[str, Any]]) -> str:
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
