"""A person's own folders `components` and `pipelines`, which users of KFP have, are never taken for ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests_support import ROOT, smoke_command

from components.platform.processes import OWN_PACKAGES, own_modules


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
            env={**os.environ, **own_modules()},
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert said in done.stderr and "taken for ours" not in done.stderr, done.stderr


def test_the_installed_command_finds_our_modules_behind_any_path(project: Path) -> None:
    """`PYTHONPATH=. biomed-r1`: its folders come before those of installed packages."""
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "biomed-r1"
    ].partition(":")
    script = project / "bin/biomed-r1"  # as pip writes it
    script.parent.mkdir()
    script.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    (project / "biomed_r1").symlink_to(ROOT / "biomed_r1")
    done = subprocess.run(
        [sys.executable, script, "list", "recipes"],
        env={**os.environ, "PYTHONPATH": str(project)},
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "smoke" in done.stdout, done.stderr


def test_installed_modules_are_found_behind_any_path(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In site-packages ours cannot come first, so a folder with others of their names is left out."""
    site = project / "site"
    site.mkdir()
    for name in OWN_PACKAGES:
        (site / name).symlink_to(ROOT / name)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project), ".", str(project / "other"), ""]))
    monkeypatch.chdir(project)
    assert own_modules(site)["PYTHONPATH"] == str(project / "other")


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
