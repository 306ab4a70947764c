"""`make clean`'s question: whether registered model versions may be deleted. Runs on any Python, without packages.

python pipelines/local/clean.py HOME [--force]
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

_DELETED = "Deleted_Internal"  # MLflow's stage of a version that was deleted


def versions(home: Path) -> dict[str, int]:
    """How many versions of each model the embedded registry of a home folder holds."""
    file = home / "servers" / "mlflow" / "mlflow.db"
    if not file.is_file():
        return {}
    query = "select name, count(*) from model_versions where current_stage <> ? group by name"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return dict(database.execute(query, (_DELETED,)))
    except sqlite3.Error:  # a server that never started leaves a file without tables
        return {}


def main(arguments: list[str]) -> int:
    """0: go on. 2: there are versions, and nobody agreed to their deletion."""
    home = Path(arguments[0])
    found = versions(home)
    if not found or "--force" in arguments:
        return 0
    told = ", ".join(f"{name} ({count})" for name, count in sorted(found.items()))
    say = sys.stderr.write  # click may not be installed here
    say(f"{home} holds registered versions: {told}, with their weights and the results of every run.\n")
    if sys.stdin.isatty():
        say("Delete all of it? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return 0
        say("nothing was deleted\n")
        return 2
    say("Nothing was deleted; `make clean FORCE=1` deletes it without a question.\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
