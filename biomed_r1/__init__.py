"""biomed-r1 from a notebook or a script: `extract`, `score`, `compare`, `decide`, `stratify`, `rewards`.

They take lists of mappings or pandas DataFrames and return plain dicts and lists. Nothing is read from or written to
disk, except the classifier that `stratify` opens. Research software: never for clinical decisions.

    import biomed_r1
    biomed_r1.extract("The answer is B.", {"A": "Aspirin", "B": "Heparin"})  # 'B'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomed_r1 import _own_packages

_own_packages.load("components")

from components.errors import InputError, ReadableError, StageError  # noqa: E402

if TYPE_CHECKING:
    __version__: str
    from biomed_r1.functions import compare, decide, extract, rewards, score, stratify

__all__ = [
    "InputError",
    "ReadableError",
    "StageError",
    "__version__",
    "compare",
    "decide",
    "extract",
    "rewards",
    "score",
    "stratify",
]


def __getattr__(name: str) -> Any:
    """The functions and the version are looked up when they are used: the command line needs neither."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from biomed_r1 import functions

    return getattr(functions, name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("biomed-r1")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+source"
