"""Names made from any text: such as MLflow takes for a metric, parameter or tag, and such as a folder and a URL take.

A data set may be called `MMLU (biology), 2024: clinical` and a recipe `Anna's run`; MLflow refuses the one as part of a
metric's name, and the other ends a text in its search language.
"""

from __future__ import annotations

import hashlib
import posixpath
import re

# mlflow.utils.validation, MLflow 3.17: the characters of a key, its length, and that a path must be a plain one. A
# server on Windows takes no colon.
_REFUSED = re.compile(r"[^\w.\- /]")
LONGEST = 250
LONGEST_ID = 60
_DIGITS = 8


def key(text: str) -> str:
    """`text` where MLflow takes it as the key of a metric, parameter or tag; else a name that it takes.

    The name that is made ends in digits of the text's digest: two texts never become one key.
    """
    made = _REFUSED.sub("_", text)
    if not made or posixpath.normpath(made) != made or made.startswith(("..", "/")) or made == ".":
        made = made.replace("/", "_").replace("..", "_").strip(".") or "_"
    if made == text and len(made) <= LONGEST:
        return text
    return f"{made[: LONGEST - _DIGITS - 1]}-{_digest(text)}"


def identifier(text: str) -> str:
    """`text` as part of a run's id: ASCII letters, digits, `.`, `_`, `-`, at most LONGEST_ID of them.

    For a text that has nothing of these, digits of its digest.
    """
    made = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:LONGEST_ID].rstrip("-.")
    return made or _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
