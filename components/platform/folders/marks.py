"""The mark of a folder that this program writes its results to: the list of the files that it wrote there.

A folder of results may hold a person's own files too. Only what the list names is replaced or deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

MARK = ".biomed-r1.json"
SCHEMA_VERSION = 1


def mark_of(names: Iterable[str]) -> dict[str, Any]:
    """What MARK holds: `names` are the paths of the files that are ours, relative to the folder."""
    return {"schema_version": SCHEMA_VERSION, "written_by": "biomed-r1", "files": sorted(set(names))}


def listed(value: Any) -> list[str] | None:
    """The files that a MARK names, None for a value that is no mark of ours."""
    ours = isinstance(value, dict) and value.get("written_by") == "biomed-r1"
    if not ours or not isinstance(value.get("files"), list):
        return None
    return [name for name in map(str, value["files"]) if inside(name)]


def inside(name: str) -> bool:
    """Whether a relative path stays below its folder."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def read_mark(folder: Path) -> list[str] | None:
    """The files that a local folder's MARK names, None where it has none."""
    try:
        return listed(json.loads((folder / MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def write_mark(folder: Path, names: Iterable[str]) -> None:
    (folder / MARK).write_text(json.dumps(mark_of(names), indent=1) + "\n", encoding="utf-8")
