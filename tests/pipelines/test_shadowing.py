"""A person's own folders `components` and `pipelines`, which users of KFP have, are never taken for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests_support import ROOT, smoke_command

from pipelines.local.run import _own_modules


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A KFP user's project."""
    for name in ("components", "pipelines", "pipelines/local", "mlflow", "kfp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('taken for ours')\n")
    return tmp_path


@pytest.mark.parametrize("path", ["", str(ROOT), f"/nowhere{os.pathsep}{ROOT}", os.pathsep])
def test_a_run_s_processes_find_our_modules(project: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("PYTHONPATH", path)
    for module, said in (("pipelines.local.runner", "recipe.json"), ("components.ops", "not enough values")):
        done = subprocess.run(
            [sys.executable, "-m", module, *(["/nowhere", "subprocess"] if "runner" in module else [])],
            env={**os.environ, **_own_modules()},
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert said in done.stderr and "taken for ours" not in done.stderr, done.stderr


@pytest.mark.slow
def test_a_whole_run_from_such_a_folder(
    project: Path, finished: object, environment: Mapping[str, str], tiny_model: Path
) -> None:
    """Everything is stored already, so each task only starts, finds its result and ends."""
    # As the installed command: without the working folder on the path, and telling its children nothing of that.
    command = [sys.executable, "-P", *smoke_command("--set", f"base_model={tiny_model}")[1:]]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, cwd=project, capture_output=True, text=True, timeout=420
    )
    assert done.returncode == 0, done.stderr
