"""biomed-r1 from a notebook or a script: `extract`, `score`, `compare`, `decide`, `stratify`, `rewards`.

They take lists of mappings or pandas DataFrames and return plain dicts and lists. Nothing is read from or written to
disk, except the classifier that `stratify` opens. Research software: never for clinical decisions.

    import biomed_r1
    biomed_r1.extract("The answer is B.", {"A": "Aspirin", "B": "Heparin"})  # 'B'
"""

from biomed_r1 import _own_packages
from biomed_r1._own_packages import __version__

_own_packages.load()

from biomed_r1.functions import compare, decide, extract, rewards, score, stratify  # noqa: E402
from components.errors import InputError, ReadableError, StageError  # noqa: E402

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
