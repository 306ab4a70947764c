"""`@component`: KFP's own, except that a task runs the function in its image, and no text of it that KFP ships along.

Argo stores a task's command about six times, and all tasks of a run in at most 1 MB.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import dsl

# KFP sets it where a task runs, and leaves `dsl.component` out there.
RUNTIME_VARIABLE = "_KFP_RUNTIME"
# The program that fills inputs and outputs. KFP's local runners look for its name in a command.
EXECUTOR = "kfp.dsl.executor_main"


def component(image: str) -> Callable[[Callable[..., Any]], Any]:
    """A function as a KFP component of that image; in a running task the function itself."""

    def decorate(function: Callable[..., Any]) -> Any:
        if os.environ.get(RUNTIME_VARIABLE) == "true":
            return function
        made = dsl.component(function, base_image=image, install_kfp_package=False)
        module = Path(function.__code__.co_filename).stem
        made.component_spec.implementation.container.command = ["python3", "-m", "components.ops", EXECUTOR, module]
        return made

    return decorate
