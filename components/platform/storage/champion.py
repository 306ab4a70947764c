"""Where the serving pointer of a registered model is, and which model it names; moving it: components/serving.

It lives here because model references are resolved in this room: `registry:NAME@champion` is what the pointer says.
"""

from __future__ import annotations

import os
import re
from typing import Any

from components.errors import DamagedError, InputError, NewerSchemaError
from components.platform.storage import objects

SCHEMA_VERSION = 1


def pointer_uri(root: str, name: str) -> str:
    """The address of the pointer of the registered model `name` in the store `root`; raises InputError for a name
    that is none."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"registered model {name!r}: a name has letters, digits, `_`, `-` and `.` only")
    return f"{root.rstrip('/')}/serving/{name}/pointer.json"


def checked(value: Any, where: str) -> dict[str, Any]:
    """A pointer's body; raises DamagedError for anything else, NewerSchemaError for a newer version's."""
    if not isinstance(value, dict) or not isinstance(value.get("serial"), int):
        raise DamagedError(f"{where}: not a pointer; restore it from the log beside it or the bucket's versions")
    if value.get("schema_version", 0) > SCHEMA_VERSION:
        raise NewerSchemaError(f"{where}: schema_version {value['schema_version']}: upgrade biomed-r1 to read it")
    return value


def served(name: str) -> dict[str, Any] | None:
    """The champion (`version`, `uri`, ...) that the pointer in BIOMED_R1_STORE names.

    None where no store is set, there is no pointer, or it names no champion. Raises as `checked` and the store do.
    """
    root = os.environ.get("BIOMED_R1_STORE")
    if not root:
        return None
    where = pointer_uri(root, name)
    value = objects.get_json(where)
    return None if value is None else checked(value, where).get("champion")
