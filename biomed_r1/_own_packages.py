"""Makes sure that `components` is this project's package, also where the working folder has one of that name.

Python puts the working folder first on its path, and users of Kubeflow Pipelines often have a folder `components`.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]

try:
    __version__ = version("biomed-r1")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+source"


def load() -> None:
    """Import `components` from beside this package.

    Raises ImportError where another package of that name is loaded already: the two cannot live in one process.
    """
    known = sys.modules.get("components")
    if known is None:
        sys.path.insert(0, str(_ROOT))
        try:
            known = importlib.import_module("components")
        finally:
            sys.path.remove(str(_ROOT))
    if not _is_ours(known):
        where = getattr(known, "__file__", None) or ", ".join(getattr(known, "__path__", []))
        raise ImportError(
            f"biomed_r1 needs its own package `components`, but {where} is loaded under that name; import biomed_r1 "
            "first, or rename yours"
        )


def _is_ours(package: object) -> bool:
    return any(Path(path).resolve() == _ROOT / "components" for path in getattr(package, "__path__", []))
