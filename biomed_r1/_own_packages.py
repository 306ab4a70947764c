"""Makes sure that `components` and `pipelines` are this project's packages, also where others of that name come first.

Python puts the working folder, or PYTHONPATH, first on its path, and users of Kubeflow Pipelines often have folders
called so.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def load(name: str) -> None:
    """Import the package `name` from beside this one.

    Raises ImportError where another package of that name is loaded already: the two cannot live in one process.
    """
    known = sys.modules.get(name)
    if known is None:
        sys.path.insert(0, str(_ROOT))
        try:
            known = importlib.import_module(name)
        finally:
            sys.path.remove(str(_ROOT))
    if not _is_ours(known, name):
        where = getattr(known, "__file__", None) or ", ".join(getattr(known, "__path__", []))
        raise ImportError(
            f"biomed_r1 needs its own package `{name}`, but {where} is loaded under that name; import biomed_r1 "
            "first, or rename yours"
        )


def _is_ours(package: object, name: str) -> bool:
    return any(Path(path).resolve() == _ROOT / name for path in getattr(package, "__path__", []))
