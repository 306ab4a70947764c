"""One process of a training: `torchrun ... -m components.stages.STAGE FOLDER`, with the request in FOLDER."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel

from components.errors import ReadableError
from components.platform import logs
from components.platform.environment import quiet_environment
from components.training.place import TrainerPlace
from components.training.workers.folder import EVIDENCE, REQUEST


def end_with(stage: Callable[..., dict[str, Any]], config: type[BaseModel]) -> NoReturn:
    """Do as the request says with a trainer's `stage`, and end this process with its exit code."""
    code = 1
    try:
        code = _run(stage, config, Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the process group of a training that failed would wait for its peers


def _run(stage: Callable[..., dict[str, Any]], config: type[BaseModel], folder: Path) -> int:
    """The exit code. An error that a person reads, and the first process's evidence, are left in the folder."""
    quiet_environment()
    logs.configure()
    rank = int(os.environ.get("RANK", "0"))
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        given, place = request["given"], TrainerPlace.model_validate(request["place"])
        evidence = stage(**given | {"config": config.model_validate(given["config"]), "place": place})
    except ReadableError as error:
        told = {"kind": type(error).__name__, "text": str(error), "exit_code": error.exit_code}
        (folder / f"error-{rank}.json").write_text(json.dumps(told), encoding="utf-8")
        return error.exit_code
    if rank == 0:
        (folder / EVIDENCE).write_text(json.dumps(evidence), encoding="utf-8")
    return 0
