"""What a process says beside its results: one logging set-up for every process, and a log file per task of a local run.

Results go to stdout, diagnostics through `logging` to stderr. Level and format travel in the environment, so the tasks
of a run, here or in a cluster, log as its command was told to. No secret and no question's text is ever logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.errors import InputError
from components.platform.environment import LOG_FORMAT, LOG_FORMATS, LOG_LEVEL, LOG_LEVELS
from components.platform.events import RUN_FOLDER_VARIABLE

# The level is for these. Libraries stay at warning: their debug messages hold headers, bodies and tokens.
OURS = ("components", "pipelines")


class _Stderr(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is at that moment: a log file, a test's buffer, or above a progress bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:  # type: ignore[override]
        return sys.stderr


class _Text(logging.Formatter):
    """The message alone, for a person; a warning or an error says that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname.lower()}: {text}" if record.levelno >= logging.WARNING else text


class _Json(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure() -> None:
    """Set logging up as the environment says; may be called again after a change.

    Raises InputError naming the variable whose value is none of the known ones.
    """
    level = _chosen(LOG_LEVEL, LOG_LEVELS, "info")
    handler = _Stderr()
    handler.setFormatter(_Json() if _chosen(LOG_FORMAT, LOG_FORMATS, "text") == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        # Ours of before, and the plain one that KFP's executor installs: each line is written once, in our format.
        if type(old) in (_Stderr, logging.StreamHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def log_path(run_folder: Path, task: str) -> Path:
    return run_folder / "logs" / f"{task}.log"


def message_of(line: str) -> str:
    """The message of a line that a process of ours logged, in either format; another line as it is."""
    if line.startswith("{"):
        try:
            return str(json.loads(line)["message"])
        except (ValueError, KeyError):
            return line
    return line


def run_folder() -> Path | None:
    """The folder of the local run that this process belongs to; None outside one."""
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    return Path(folder) if folder else None


def redirect(task: str) -> None:
    """Send this process's stdout and stderr, native libraries' included, to the task's log file.

    Does nothing outside a local run: in a cluster the container's output is the log.
    """
    folder = os.environ.get(RUN_FOLDER_VARIABLE)
    if not folder:
        return
    path = log_path(Path(folder), task)
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _chosen(variable: str, known: tuple[str, ...], default: str) -> str:
    value = os.environ.get(variable) or default
    if value not in known:
        raise InputError(f"{variable}={value}: write one of {', '.join(known)}")
    return value
