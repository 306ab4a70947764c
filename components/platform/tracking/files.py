"""What a person opens at a run in MLflow: report, scores, decision, model card, pictures, and the run's settings.

Copied from the store, where every stage keeps its result, to MLflow's own artifact store. Question sets and answers
stay in S3: what goes here are the files that SHOWN names and each stage's manifest. The report quotes as many questions
as its recipe says.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.platform.storage import store
from components.platform.tracking.answers import UPLOAD, quickly
from components.platform.tracking.pictures import draw
from components.platform.tracking.runs import Tracked

LOG = logging.getLogger(__name__)
EVIDENCE = "evidence.json"
# By stage: the files of its result that a person opens. One that a result lacks is left out.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "classify": ("classifier.json", "roc.png", "confusion.png", "reliability.png"),
    "stratify": ("share-curve.png",),
    "curate": ("curation.json",),
    "sft": (EVIDENCE,),
    "grpo": (EVIDENCE,),
    "compare": ("scores.json", "decision.json"),
    "report": ("report.html", "report.md"),
    "register": ("model_card.md",),
}


def log_result(tracked: Tracked, stage: str, uri: str) -> None:
    """Copy what a person opens of a stage's stored result, its manifest among it, to the stage's run."""
    _log(tracked, {"": (stage, uri)}, manifests=True)


def log_results(tracked: Tracked, receipts: Mapping[str, Mapping[str, Any]]) -> None:
    """Copy what a person opens of a whole run to its parent, a folder for each task; `receipts` by task."""
    results = {task: (str(r.get("stage", task)), str(r["uri"])) for task, r in receipts.items()}
    _log(tracked, {task: found for task, found in results.items() if found[0] in SHOWN}, manifests=False)


def log_text(tracked: Tracked, name: str, text: str) -> None:
    """Keep one text as a file of the run."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8")
        _send(tracked, Path(folder))


def _log(tracked: Tracked, results: Mapping[str, tuple[str, str]], manifests: bool) -> None:
    if tracked.run_id is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, (stage, uri) in results.items():
            folder = Path(scratch) / name
            folder.mkdir(exist_ok=True)
            manifest = store.read_manifest(uri)
            if manifest is None:
                continue
            if manifests:
                store.put_json(str(folder / store.MANIFEST), manifest)
            for entry in manifest["files"]:
                if entry["path"] in SHOWN.get(stage, ()):
                    store.get_entry(uri, entry, folder / entry["path"])
            try:
                draw(folder)
            except Exception as error:  # of a record that this version does not know, say: no reason to fail the stage
                LOG.warning("%s: no picture was drawn (%s: %s)", uri, type(error).__name__, error)
        _send(tracked, Path(scratch))


def _send(tracked: Tracked, folder: Path) -> None:
    """Upload a folder's files; a server that takes none is a warning, because the results are in the store."""
    if tracked.run_id is None:
        return
    try:
        with quickly(UPLOAD):
            tracked.files(folder)
    except Exception as error:  # MLflow's own, requests' or, where clients write to S3 themselves, botocore's
        LOG.warning(
            "MLflow took no files for run %s (%s: %s); they are in the store all the same",
            tracked.run_id,
            type(error).__name__,
            " ".join(str(error).split())[:300],
        )
