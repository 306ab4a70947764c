"""What tests/bench/worker_kills.py trains with: a tiny model, a store behind rules, what is in it, who works."""

from __future__ import annotations

import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import ranks  # noqa: E402
import several_processes  # noqa: E402
from faulty_proxy import Answer, Asked, proxy, s3_error  # noqa: E402
from tiny_model import tiny  # noqa: E402

from components.errors import ReadableError  # noqa: E402
from components.platform.storage import objects, s3, store  # noqa: E402
from components.platform.tables import write_rows  # noqa: E402
from components.stages.sft import SftConfig, sft  # noqa: E402
from components.training.place import TrainerPlace  # noqa: E402
from components.training.workers import launch  # noqa: E402
from pipelines.local import servers  # noqa: E402

CONFIG = SftConfig(
    max_steps=24, save_steps=2, global_batch=4, learning_rate=1e-3, optim="adamw_torch", device="cpu", max_length=256
)
OUTAGE_SECONDS = 60.0


WEIGHTS = {"one": "one process", "none": "whole", "full": "split"}


def place(sharding: Any) -> TrainerPlace:
    return TrainerPlace() if sharding == "one" else TrainerPlace(gpus=2, launch="torchrun", sharding=sharding)


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
    turns: int
    kills: int
    number: int = 0
    held_up: str = ""  # what checkpoints took of the last training's time, as it logged

    def uri(self) -> str:
        """An address of its own for one training's checkpoints."""
        self.number += 1
        return f"s3://{servers.BUCKET}/worker-kills/{os.getpid()}/{self.number}"

    def train(self, sharding: str, uri: str, out: str, config: SftConfig = CONFIG, model: str = "tiny") -> Any:
        """The evidence, or the error that the training ended with; and the step that it resumed from, as it logged."""
        log = self.folder / "log"
        with said_to(log):
            given = (self.folder / "mix.parquet", str(self.folder / model), config, uri, self.folder / out)
            try:
                result = ranks.alone(self.folder, given) if sharding == "one" else sft(*given, place=place(sharding))
            except ReadableError as error:
                result = error
        told = re.findall(
            r"of (\S+) s, (\S+) s went into writing them and (\S+) s into", log.read_text(errors="replace")
        )
        self.held_up = "of {} s {} writing, {} waiting".format(*told[-1]) if told else ""
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


class Watch:
    """The most bytes that a folder held within the block, and the seconds that the workers computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.peak, self._over = folder, 0, threading.Event()
        self._cpu: dict[int, float] = {}

    def __enter__(self) -> Watch:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, sum(_size(path) for path in self.folder.rglob("*")))
            for process in list(ranks.alive):
                with suppress(psutil.Error):
                    used = psutil.Process(process.pid).cpu_times()
                    self._cpu[process.pid or 0] = used.user + used.system


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() and not path.is_symlink() else 0
    except OSError:
        return 0


def fork_workers() -> None:
    """Take tests/support/ranks.py in torchrun's place."""
    launch._torchrun = ranks.run


def workers() -> list[psutil.Process]:
    """The processes of the training that runs, by rank."""
    if ranks.alive:
        return [psutil.Process(process.pid) for process in ranks.alive if process.is_alive()]
    return several_processes.workers()


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
