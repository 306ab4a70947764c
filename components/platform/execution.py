"""Running a stage once: content-addressed, tracked, and with a receipt (design D5, D9, D13).

`execute` is what every KFP component calls. It computes the stage's key, returns the stored artifact where one
exists, and otherwise runs the work, stores what it wrote with the manifest last, and leaves a receipt.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components.errors import InputError
from components.platform import events, failures, faults, logs
from components.platform.folders.deletion import clear_workspaces, workspace
from components.platform.lineage import code_digest, git_revision
from components.platform.machine import asked_gpus, check_gpus, home
from components.platform.models import model_digest
from components.platform.storage import store
from components.platform.tracking import files
from components.platform.tracking import runs as tracking

EVIDENCE = files.EVIDENCE
# Below the home folder: where tasks work, and what is made once and kept.
SCRATCH, CACHES = "scratch", ("models", "classifiers", "data")
# The field of a trainer's evidence that says where its checkpoints were: nobody needs them once it has ended well.
CHECKPOINTS = "checkpoints"
# The field of a work's evidence that names a stored directory, whose files are its result: they were not made here.
STORED = "stored"
STORE_VARIABLE = "BIOMED_R1_STORE"
RUN_VARIABLE = "BIOMED_R1_RUN_ID"
FRESH_VARIABLE = "BIOMED_R1_FRESH"
# What stages hand to one another as files; a model is a directory.
TABLES = (".parquet", ".json")
# The field of a task's evidence that says in a few words that there was nothing to do, or what came of it.
NOTE = "note"
HEAVY = ("torch", "transformers", "trl", "vllm")
Evidence = dict[str, Any]


@dataclass(frozen=True)
class Product:
    """What a stage left in the store: its URI, content digest and evidence, and whether it was there before."""

    uri: str
    digest: str
    evidence: Evidence
    reused: bool
    run_id: str | None

    @property
    def metadata(self) -> dict[str, Any]:
        """What a KFP artifact of this product carries as metadata."""
        return {"store_uri": self.uri, "digest": self.digest, "reused": self.reused}

    def save(self, name: str, path: str | Path) -> None:
        """Copy one file of the product to a local path (a KFP output), verified against the manifest."""
        store.get_file(self.uri, name, Path(path))


@dataclass(frozen=True)
class Call:
    """One task of a pipeline run: the stage, the task's name in the run, its inputs and its config.

    `datasets` are those inputs that MLflow lists as data sets, with what they are for; `sources` say where one of them
    is from whose input is a copy on this machine.
    """

    stage: str
    run: str
    config: BaseModel
    inputs: Mapping[str, str]
    name: str = ""
    datasets: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return self.name or self.stage


def execute(call: Call, work: Callable[[Path], Evidence]) -> Product:
    """Run `work(folder)` unless its result is in the store; returns the stored product.

    `call.inputs` are local files, model references or `digest:...` texts by name. Raises what `work` raises, after
    the failure is in MLflow; a receipt is written only for a stage that ended well.
    """
    logs.configure()
    logs.redirect(call.task)
    failed = failures.recorded(store_root(), run_id(call.run), call.task, call.stage)
    with events.events_of(call.task) as details, failed:
        product, seconds = _execute(call, work)
        details |= {"seconds": seconds, "reused": product.reused}
        if product.evidence.get(NOTE):
            details[NOTE] = product.evidence[NOTE]
    return product


def _execute(call: Call, work: Callable[[Path], Evidence]) -> tuple[Product, float]:
    started = time.monotonic()
    root = store_root()
    run = run_id(call.run)
    digests = {name: input_digest(value) for name, value in call.inputs.items()}
    code = code_digest(f"components.stages.{call.stage}")
    key = stage_key(call.stage, digests, call.config, code)
    uri = f"{root}/artifacts/{call.stage}/{key}"
    with tracking.stage_run(run, call.stage, call.task) as tracked:
        check_gpus()
        tracked.params({"key": key, "config": call.config.model_dump(mode="json")})
        tracked.tags({"biomed_r1.uri": uri, "git_revision": git_revision()})
        tracked.tags(tracking.source_tags(f"biomed-r1 {call.stage}", "LOCAL" if logs.run_folder() else "JOB"))
        manifest = None if os.environ.get(FRESH_VARIABLE) else _whole(uri)
        reused = manifest is not None
        if manifest is None:
            manifest = _make(call, work, uri, key, digests, code)
        evidence = store.get_json(f"{uri}/{EVIDENCE}")
        _track(tracked, call, digests, evidence, reused, uri)
        product = Product(uri, store.manifest_digest(manifest), evidence, reused, tracked.run_id)
        seconds = time.monotonic() - started
        _receipt(root, run, call, product, key, seconds)
    return product, seconds


def run_id(given: str) -> str:
    """The pipeline run's id: the one `biomed-r1 run` chose, else the one KFP gave the task."""
    return os.environ.get(RUN_VARIABLE) or given


def stage_key(stage: str, digests: Mapping[str, str], config: BaseModel, code: str) -> str:
    """The name of a stage's result: sha256 over stage, input digests, config and code."""
    return config_key(stage, digests, config.model_dump(mode="json"), code)


def config_key(stage: str, digests: Mapping[str, str], config: Mapping[str, Any], code: str) -> str:
    parts = [stage, dict(sorted(digests.items())), config, code]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def resumed_part(config: BaseModel) -> dict[str, Any]:
    """What of a config work must share to be continued: a trainer says so itself (`resumed_part`), else all of it."""
    own = getattr(config, "resumed_part", None)
    return dict(own()) if own else config.model_dump(mode="json")


def resume_uri(call: Call) -> str:
    """Where a trainer keeps its checkpoints: as `stage_key`, but without the code and without what changes no result.

    A change of code is recorded with the checkpoint and no reason to start over (design D6).
    """
    digests = {name: input_digest(value) for name, value in call.inputs.items()}
    key = config_key(call.stage, digests, resumed_part(call.config), "")
    return _unfinished(f"{call.stage}/{key}")


def journal_uri(stage: str) -> str:
    """Where a stage keeps records of unfinished work, each below a key of everything that could change one."""
    return _unfinished(stage)


def _unfinished(what: str) -> str:
    """Where unfinished work is kept; a fresh run has a place of its own, with nothing in it."""
    uri = f"{store_root()}/checkpoints/{what}"
    fresh = os.environ.get(FRESH_VARIABLE)
    return f"{uri}-{fresh}" if fresh else uri


def input_digest(value: str) -> str:
    """The digest of an input: a file's sha256, a model reference's content, or a given `digest:` text.

    The file is a local one or one of a stored directory (`s3://.../ingest/KEY/train.parquet`), whose manifest has it.
    """
    if value.startswith("digest:"):
        return value.removeprefix("digest:")
    if "://" in value and value.endswith(TABLES):
        return store.stored_sha256(value)
    path = Path(value)
    if path.is_file():
        return store.file_sha256(path)
    return model_digest(value)


@contextmanager
def fetched(*files: str) -> Iterator[list[Path]]:
    """Local copies, verified, of files of stored directories; gone after the block."""
    with workspace(home() / SCRATCH, "inputs-") as folder:
        paths = []
        for number, file in enumerate(files):
            uri, _, name = file.rpartition("/")
            paths.append(folder / str(number) / name)
            store.get_file(uri, name, paths[-1])
        yield paths


def _make(
    call: Call, work: Callable[[Path], Evidence], uri: str, key: str, digests: Mapping[str, str], code: str
) -> dict[str, Any]:
    with workspace(home() / SCRATCH, f"{call.task}-") as out:
        faults.point(call.task)
        evidence = work(out)
        stored = str(evidence.pop(STORED, ""))
        (out / EVIDENCE).write_text(json.dumps(evidence, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
        inputs = [(_recorded(name, call.inputs[name]), digest) for name, digest in digests.items()]
        if not os.environ.get(FRESH_VARIABLE) and (found := _whole(uri)):
            return found  # another run was first, and its tasks may be reading
        # The evidence first: it differs from attempt to attempt, and so tells a half upload over another's result.
        return store.put_dir(
            out, uri, stage=call.stage, key=key, inputs=inputs, code=code, beside=stored, first=EVIDENCE
        )


def _whole(uri: str) -> dict[str, Any] | None:
    """The manifest of a stored result, None where there is none or a later attempt was killed while it replaced it."""
    manifest = store.read_manifest(uri)
    return manifest if manifest is not None and store.still_holds(uri, manifest, EVIDENCE) else None


def _recorded(name: str, value: str) -> str:
    """What a manifest calls an input: a stored model by its address, anything else by its name."""
    return value if "://" in value and not value.endswith(TABLES) else name


def _track(
    tracked: tracking.Tracked, call: Call, digests: Mapping[str, str], evidence: Evidence, reused: bool, uri: str
) -> None:
    from components.platform.formats.parquet import count_rows  # brings pyarrow

    tracked.tags({"biomed_r1.reused": str(reused).lower()})
    tracked.metrics(evidence.get("metrics", {}))
    tracked.history(evidence.get("history", []), once=True)  # a trainer has logged most of it while it ran
    for name, context in call.datasets.items():
        given = call.inputs[name]
        rows = evidence.get("rows_in", 0) if (counted := count_rows(given)) is None else counted
        tracked.dataset(name, digests[name], call.sources.get(name, given), int(rows), context)
    for data in evidence.get("datasets", []):
        tracked.dataset(data["name"], data["digest"], f"{uri}/{data['name']}.parquet", data["rows"], data["context"])
    files.log_result(tracked, call.stage, uri)


def _receipt(root: str, run: str, call: Call, product: Product, key: str, seconds: float) -> None:
    receipt = {
        "schema_version": 1,
        "stage": call.stage,
        "task": call.task,
        "key": key,
        "state": "succeeded",
        "reused": product.reused,
        "seconds": round(seconds, 2),
        "gpu_seconds": product.evidence.get("gpu_seconds", round(seconds * asked_gpus(), 2)),
        "uri": product.uri,
        "digest": product.digest,
        "mlflow_run_id": product.run_id,
        # How the task's process ran, seen from inside: images are to be used without root and without writing to them.
        "user": os.getuid(),
        "root_read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        # What a reused stage must not have paid for.
        "imported": [name for name in HEAVY if name in sys.modules],
        "evidence": product.evidence,
    }
    store.put_json(f"{receipts_uri(root, run)}/{call.task}.json", receipt)


def receipts_uri(root: str, run: str) -> str:
    return f"{root}/runs/{run}/receipts"


def result_of(task: str, run: str) -> str:
    """The address of what a task of this run (KFP's id) stored; raises InputError where it left no receipt."""
    uri = f"{receipts_uri(store_root(), run_id(run))}/{task}.json"
    receipt = store.get_json(uri)
    if receipt is None:
        raise InputError(f"{uri}: there is none, so task {task} stored nothing in this run: look at its log")
    return str(receipt["uri"])


def read_receipts(root: str, run: str) -> dict[str, dict[str, Any]]:
    """The receipts of a pipeline run, by task."""
    uri = receipts_uri(root, run)
    return {
        name.removesuffix(".json"): store.get_json(f"{uri}/{name}")
        for name in store.list_children(uri)
        if re.fullmatch(r"[\w.-]+\.json", name)
    }


def clear_scratch() -> None:
    """Remove what killed runs left half-written below the home folder; what a living one works in stays."""
    for name in (SCRATCH, *CACHES):
        clear_workspaces(home() / name)


def store_root() -> str:
    """The store that BIOMED_R1_STORE names, without a slash at its end; raises InputError where it is not set."""
    root = os.environ.get(STORE_VARIABLE)
    if not root:
        raise InputError(f"{STORE_VARIABLE} is not set: name the store, s3://BUCKET/PREFIX, or run `biomed-r1 up`")
    return root.rstrip("/")
