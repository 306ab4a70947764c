"""Schemas of Kubernetes objects: built-in kinds by kubernetes-validate, custom ones from files."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
from kubectl import ROOT

# Small excerpts that stay in the repository, and the published ones, which not every checkout has.
EXCERPTS = ROOT / "tests/manifests/schemas"
# The oldest Kubernetes that the manifests claim to run on: a field that came later is refused.
KUBERNETES = "1.30"
POD_FIELDS = (
    "serviceAccountName", "automountServiceAccountToken", "securityContext", "terminationGracePeriodSeconds",
    "tolerations", "nodeSelector", "affinity", "initContainers", "volumes", "containers",
)  # fmt: skip


def published() -> Path | None:
    """The folder of the custom resources' published schemas, or None where BIOMED_R1_DATA names none."""
    folder = Path(os.environ.get("BIOMED_R1_DATA", "")) / "schemas"
    return folder if os.environ.get("BIOMED_R1_DATA") and folder.is_dir() else None


def check(item: dict[str, Any]) -> None:
    """Raise a ValidationError for an object that its kind's schema does not allow, unknown fields included."""
    schema = EXCERPTS / f"{item['kind']}.json"
    if not schema.is_file():
        _definitions_read_once()
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
        return
    jsonschema.Draft202012Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(item)
    if item["kind"] == "TrainingRuntime":
        for job in item["spec"]["template"]["spec"]["replicatedJobs"]:
            check(
                {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "node"}, "spec": job["template"]["spec"]}
            )
    if item["kind"] == "InferenceService":
        pod = {k: v for k, v in item["spec"]["predictor"].items() if k in POD_FIELDS}
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": pod})


def check_published(item: dict[str, Any], folder: Path) -> bool:
    """Check a custom resource against its published schema, unknown fields refused; False where there is none."""
    group, _, version = item["apiVersion"].rpartition("/")
    file = folder / f"{group}_{version}_{item['kind']}.json"
    if not file.is_file():
        return False
    schema = strict(json.loads(file.read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator(schema).validate(item)
    return True


def strict(schema: Any) -> Any:
    """The same schema with no other properties than those that it names, as an API server's strict check wants it."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        result["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return result


@lru_cache(maxsize=1)
def _definitions_read_once() -> None:
    """The package reads its 3 MB of definitions for every object again."""
    kubernetes_validate.utils.schema_contents = lru_cache(maxsize=None)(kubernetes_validate.utils.schema_contents)
