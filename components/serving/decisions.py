"""The gate's decision about a version, kept where nobody changes it: `STORE/serving/NAME/decisions/SHA256.json`.

A version's tag in MLflow names the address; the file is known by its content, so a tag that was edited can only name
another decision, and each decision names the weights that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.errors import DamagedError
from components.platform.storage import objects
from components.platform.storage.champion import pointer_uri
from components.serving.pointer import body_sha256

TAG = "gate.decision_uri"


def keep(root: str, name: str, decision: dict[str, Any]) -> str:
    """Store a decision (the value of decision.json) and return its URI; the same decision has the same one."""
    folder = pointer_uri(root, name).rpartition("/")[0]
    uri = f"{folder}/decisions/{body_sha256(decision)}.json"
    objects.create_json(uri, decision)
    return uri


def read(uri: str) -> dict[str, Any]:
    """A decision that was kept; raises DamagedError where it is gone or is not what its address says."""
    decision = objects.get_json(uri)
    if not isinstance(decision, dict):
        raise DamagedError(f"{uri}: the gate's decision is not there any more; restore it from the bucket's versions")
    if body_sha256(decision) != uri.rpartition("/")[2].removesuffix(".json"):
        raise DamagedError(f"{uri}: the gate's decision is not the one that was kept; restore it from the bucket")
    return decision


def weights(decision: Mapping[str, Any], role: str) -> str:
    """The sha256 of the weights that a decision calls `baseline` or `candidate`; "" where it does not say."""
    models = decision.get("models") or {}
    return str((models.get(role) or {}).get("weights_sha256") or "")
