"""The process that runs a pipeline with one of KFP's local runners: `python -m pipelines.local.runner FOLDER`.

A process of its own, because KFP prints what it does to stdout; `biomed-r1 run` reads events and receipts instead.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from components.platform import execution, logs
from components.platform.storage import plan as plans
from pipelines.compile import build
from pipelines.local import docker_runner
from pipelines.settings.plan import plan_of
from pipelines.settings.profile import load_profile
from pipelines.settings.recipes import key_variables, parse_recipe


def run(folder: Path, runner: str) -> None:
    """Run the pipeline of FOLDER/recipe.json; raises what KFP raises for a task that failed."""
    from kfp import local

    # Resource requests are for clusters; a local runner warns about each one it ignores.
    warnings.filterwarnings("ignore", module="kfp")
    recipe = parse_recipe((folder / "recipe.json").read_text(encoding="utf-8"))
    profile = load_profile("local")
    how: local.SubprocessRunner | local.DockerRunner = local.SubprocessRunner(use_venv=False)
    if runner == "docker":
        profile = load_profile("docker").model_copy(update={"cpu_image": docker_runner.image()})
        arguments = docker_runner.container_arguments(folder, os.environ[execution.RUN_VARIABLE], key_variables(recipe))
        how = local.DockerRunner(**arguments)
    plans.write(execution.store_root(), plan_of(recipe, profile).text)
    local.init(runner=how, pipeline_root=str(folder / "kfp"))
    build(recipe, profile)()


if __name__ == "__main__":
    logs.configure()
    run(Path(sys.argv[1]), sys.argv[2])
