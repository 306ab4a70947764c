"""What a cluster gets for serving, as files: `make golden` writes tests/serving/golden, and a test compares.

The objects of both colours from each template, the switch, the GitOps folder with its commits after two versions, and
the deployer's rights with the admission policy as an overlay renders them.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from kubectl import MANIFESTS, kubectl

from components.serving.deploy.gitops import Folder, GitopsTarget, Reader
from components.serving.deploy.status import COLOURS
from components.serving.deploy.template import TEMPLATE, rendered, selector
from components.serving.pointer import Served

GOLDEN = Path(__file__).resolve().parents[1] / "serving" / "golden"
NAMESPACE = "biomed-r1"
TEMPLATES = ("serving-deployment", "serving-deployment-cpu", "serving-kserve")
IMAGES = {name: f"registry.example.com/{name}@sha256:{digit * 64}" for name, digit in
          (("cpu-image", "1"), ("gpu-image", "2"))}  # fmt: skip
ONE, TWO = (Served(version=v, uri=f"s3://bucket/prefix/artifacts/grpo/{v * 40}", digest=v * 64) for v in "12")
# What of an overlay is the deployer's: its account, its rights, itself, and what admits its writes.
RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "Deployment", "ValidatingAdmissionPolicy",
          "ValidatingAdmissionPolicyBinding")  # fmt: skip
OVERLAY = "overlays/prod"


class _Config:
    """The template of one component, for a target that only writes files."""

    def __init__(self, component: str) -> None:
        self.component = component

    def config(self) -> Mapping[str, str]:
        text = (MANIFESTS / "components" / self.component / TEMPLATE).read_text(encoding="utf-8")
        return {TEMPLATE: text, **IMAGES}


def files(folder: Path) -> dict[str, str]:
    """Name and text of every golden file that needs no kubectl; `folder` is for the repository."""
    found = {f"{component}.yaml": _colours(component) for component in TEMPLATES}
    found["selector.yaml"] = _text([selector(NAMESPACE, colour) for colour in COLOURS])
    return {**found, **_gitops(folder)}


def rights(folder: Path) -> dict[str, str]:
    """The deployer's objects of an overlay; skips the test where there is no kubectl."""
    command = [kubectl(folder), "kustomize", str(MANIFESTS / OVERLAY)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    objects = [item for item in yaml.safe_load_all(printed) if item["kind"] in RIGHTS]
    named = [item for item in objects if item["metadata"]["name"].startswith("biomed-r1-deployer")]
    return {"deployer.yaml": _text(named)}


def _colours(component: str) -> str:
    config = _Config(component).config()
    return _text([rendered(config, NAMESPACE, colour, what) for colour, what in zip(COLOURS, (ONE, TWO), strict=True)])


def _gitops(folder: Path) -> dict[str, str]:
    """The folder and its commits after a first version, a second one, and the end of the first one's time."""
    bare, seed = folder / "bare.git", folder / "seed"
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    _git(folder, "clone", "--quiet", str(bare), str(seed))
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    _git(seed, *identity, "commit", "--quiet", "--allow-empty", "--message", "seed")
    _git(seed, "push", "--quiet", "origin", "HEAD:main")
    clone = Folder(str(bare), "main", "serving", folder / "clone")
    target = GitopsTarget(cast(Reader, _Config("serving-deployment")), clone, NAMESPACE)
    for colour, what in zip(COLOURS, (ONE, TWO), strict=True):
        target.apply(colour, what)
        target.switch(colour)
    target.stop("blue")
    log = _git(clone.clone, "log", "--reverse", "--name-status", "--format=%n%s", "HEAD")
    return {
        "gitops/commits.txt": log.strip() + "\n",
        **{f"gitops/{path.name}": path.read_text(encoding="utf-8") for path in sorted(clone.path.iterdir())},
    }


def _git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True, timeout=60).stdout


def _text(objects: list[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False, width=120)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**files(Path(folder)), **rights(Path(folder))}.items():
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_text(text, encoding="utf-8")
            print(GOLDEN / name)


if __name__ == "__main__":
    main()
