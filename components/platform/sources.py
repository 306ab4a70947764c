"""Where question sets come from: the shipped samples, a folder or file, a stored directory, or a hub data set."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files as package_files
from pathlib import Path
from typing import Literal

from components.errors import InputError
from components.platform import models
from components.platform.folders.deletion import made_once
from components.platform.formats.text_rows import format_of
from components.platform.machine import home
from components.platform.storage import store

Kind = Literal["benchmarks", "train"]
# JSON files that lie beside data and hold none: ours, and those of `datasets` and of hub repositories.
NO_QUESTIONS = frozenset(
    {store.MANIFEST, "sources.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
)
SAMPLES = "samples"
KINDS = "`samples`, a folder or file, s3://... or hf:datasets/ORG/NAME@REVISION"

# Licence by source; each set keeps its own terms, and an unknown one says so rather than nothing.
LICENCES = {
    SAMPLES: "CC-BY-4.0",
    "zou-lab/BioMed-R1-Eval": "CC-BY-NC-2.0",
    "zou-lab/BioMed-R1-Train": "MIT",
    "casimedicos": "CC-BY",
    **dict.fromkeys(
        ("medqa", "medmcqa", "pubmedqa", "medxpertqa", "mmlu_health_biology", "headqa"),
        "MIT or Apache-2.0 (see source)",
    ),
}


def source_files(source: str, kind: Kind) -> list[Path]:
    """The files of one kind in a source, in name order.

    A folder is read as `FOLDER/benchmarks/*` and `FOLDER/train/*`, or as its own files where it has no such folder.
    Raises InputError where there are none, or the source is out of reach or damaged.
    """
    folder = _folder(source)
    if folder.is_file():
        return [folder]
    if not folder.exists():
        raise InputError(f"{source}: no such file or folder (seen from {Path.cwd()}); a source is {KINDS}")
    if (folder / kind).is_dir():
        folder = folder / kind
    found = sorted(p for p in folder.rglob("*") if _holds_questions(p, folder)) if folder.is_dir() else []
    if not found:
        raise InputError(
            f"{source}: no .jsonl or .parquet files (nor .json, .csv, .tsv, nor .gz of one) for {kind} in {folder}; "
            f"a source is {KINDS}"
        )
    return found


def _holds_questions(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and format_of(path) is not None and path.name not in NO_QUESTIONS and path.is_file()


def check_source(source: str, kind: Kind) -> None:
    """Raise InputError, in seconds and without a download, for a source that cannot be read."""
    if source.startswith("hf:"):
        models.check_hub_dataset(*_split_hub(source))
    elif source.startswith("s3://"):
        if store.read_manifest(source.rstrip("/")) is None:
            raise InputError(f"{source}: no {store.MANIFEST}: nothing complete was stored there")
    else:
        source_files(source, kind)


def source_digest(source: str, kind: Kind) -> str:
    """sha256 over the names and contents of a source's files (a pinned hub set: its name and revision)."""
    if source.startswith("hf:"):
        return source
    digest = hashlib.sha256()
    for path in source_files(source, kind):
        digest.update(f"{path.name}\0{store.file_sha256(path)}\n".encode())
    return digest.hexdigest()


def licence(source: str, dataset_name: str) -> str:
    """The licence tag of a set: by source where it is one body, else by the set's name."""
    for known, tag in LICENCES.items():
        if known == source or f"/{known}@" in f"/{source.removeprefix('hf:datasets/')}":
            return tag
    return next(
        (tag for k, tag in LICENCES.items() if dataset_name.casefold().startswith(k)), "unknown (ask its source)"
    )


def _folder(source: str) -> Path:
    if source == SAMPLES:
        return Path(str(package_files("components.samples")))
    if source.startswith("s3://"):
        manifest = store.read_manifest(source.rstrip("/"))
        if manifest is None:
            raise InputError(f"{source}: no {store.MANIFEST}: nothing complete was stored there")
        folder = home() / "data" / store.manifest_digest(manifest)[:32]
        return made_once(folder, lambda path: store.get_dir(source.rstrip("/"), path))
    if source.startswith("hf:"):
        return models.hub_dataset(*_split_hub(source))
    return Path(source)


def _split_hub(source: str) -> tuple[str, str]:
    found = re.fullmatch(r"hf:datasets/([\w.-]+/[\w.-]+)@([0-9a-f]{40})", source)
    if not found:
        raise InputError(f"{source}: write hf:datasets/ORG/NAME@REVISION with a 40-digit commit; hub sets are pinned")
    return found[1], found[2]
