"""The process that runs a pipeline with one of KFP's local runners: `python -m pipelines.local_runner FOLDER`.

A process of its own, because KFP prints what it does to stdout; `biomed-r1 run` reads events and receipts instead.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from components.errors import InputError
from pipelines.settings import Recipe, load_profile


def run(folder: Path, runner: str) -> None:
    """Run the training pipeline of FOLDER/recipe.json; raises what KFP raises for a task that failed."""
    from kfp import local

    from pipelines.training import training_pipeline

    # Resource requests are for clusters; a local runner warns about each one it ignores.
    warnings.filterwarnings("ignore", module="kfp")
    if runner != "subprocess":
        raise InputError(f"runner {runner!r}: only subprocess exists here")
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text(encoding="utf-8"))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "kfp"))
    training_pipeline(recipe, load_profile("local"))()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
