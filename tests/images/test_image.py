"""The CPU image as built: who it runs as, what is in its layers and what is not."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from tests_support import docker_image

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
CANARY = f"canary-{uuid.uuid4().hex}"
# Of a source file: shows that the search below sees into layers.
PRESENT = b"Stages as containers on this machine"
LIMIT_BYTES = 2.6e9


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Built from a copy of the tree in which secrets lie about, with one in the environment."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("components", "pipelines", "images"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dockerignore", tree)
    (tree / ".env").write_text(f"AWS_SECRET_ACCESS_KEY={CANARY}\n")
    (tree / ".biomed-r1").mkdir()
    (tree / ".biomed-r1/state.json").write_text(CANARY)
    return docker_image(tree, "canary", AWS_SECRET_ACCESS_KEY=CANARY, HF_TOKEN=CANARY)


def inspect(image: str) -> dict:
    done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
    found: dict = json.loads(done.stdout)[0]
    return found


def test_it_runs_as_an_unprivileged_user_and_names_its_revision(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == "10001:10001" and config["Labels"]["org.opencontainers.image.revision"]
    assert f"BIOMED_R1_REVISION={config['Labels']['org.opencontainers.image.revision']}" in config["Env"]


def test_it_is_small_enough(image: str) -> None:
    base = inspect(os.environ.get("BASE", "python:3.11-slim-bookworm"))["Size"]
    assert inspect(image)["Size"] - base <= LIMIT_BYTES


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """A stream in overlapping pieces, so that nothing is missed between two."""
    tail = b""
    while piece := stream.read(1 << 22):
        yield tail + piece
        tail = piece[-100:]


def test_no_layer_holds_a_secret(image: str) -> None:
    saved = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE)
    assert saved.stdout
    seen: dict[bytes, set[str]] = {PRESENT: set(), CANARY.encode(): set()}
    with tarfile.open(fileobj=saved.stdout, mode="r|") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            # A newer Docker compresses layers.
            head = stream.read(2)
            rest = stream if head != b"\x1f\x8b" else None
            body = chunks(rest) if rest else chunks(gzip.GzipFile(fileobj=_Joined(head, stream)))  # type: ignore[arg-type]
            for piece in body:
                for text in seen:
                    if text in piece:
                        seen[text].add(member.name)
    assert saved.wait() == 0
    assert seen[PRESENT] and not seen[CANARY.encode()]


class _Joined:
    """Two bytes already read, and the stream they came from."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head + self._rest.read(max(0, size - len(head)) if size >= 0 else -1)


def test_of_the_tree_only_our_source_is_in_it(image: str) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "--network=none", image, "ls", "-A", "/opt/biomed-r1", "/tmp"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["/opt/biomed-r1:", "bin", "components", "pipelines", "/tmp:"]
