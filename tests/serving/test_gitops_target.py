"""`--mode gitops` against a bare repository, and a loop that applies what is in it, as Argo CD or Flux would."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kube_place import INFERENCE_SERVICE, NAMESPACE, KubePlace, kube_place

from components.errors import StageError, UnavailableError
from components.platform.cluster.api import MANAGER
from components.serving.deploy.gitops import Folder, GitopsTarget

__all__ = ["kube_place"]
PLURALS = {"Deployment": "apis/apps/v1", "InferenceService": "apis/serving.kserve.io/v1beta1", "Service": "api/v1"}


def git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True, timeout=30).stdout


class Controller(threading.Thread):
    """Applies the folder as its own field manager, and deletes what is in it no more."""

    def __init__(self, place: KubePlace, bare: Path, folder: Path) -> None:
        super().__init__(daemon=True)
        self.place, self.bare, self.folder = place, bare, folder
        self.paused, self.done = threading.Event(), threading.Event()
        self.applied: set[str] = set()

    def run(self) -> None:
        git(self.folder.parent, "clone", "--quiet", str(self.bare), self.folder.name)
        while not self.done.wait(0.05):
            if not self.paused.is_set():
                git(self.folder, "pull", "--quiet")
                self.apply()

    def apply(self) -> None:
        named = self.folder / "live" / "kustomization.yaml"
        wanted = set()
        for name in yaml.safe_load(named.read_text())["resources"] if named.is_file() else ():
            item = yaml.safe_load((named.parent / name).read_text())
            plural = f"{item['kind'].lower()}s"
            path = f"/{PLURALS[item['kind']]}/namespaces/{NAMESPACE}/{plural}/{item['metadata']['name']}"
            wanted.add(path)
            self.place.api.put(path, item, "argocd")
        for path in self.applied - wanted:
            with self.place.api.lock:
                self.place.api.objects.pop(path, None)
        self.applied = wanted


@pytest.fixture
def followed(kube_place: KubePlace, tmp_path: Path) -> Iterator[tuple[KubePlace, GitopsTarget, Controller, Path]]:
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(tmp_path, "clone", "--quiet", str(bare), "seed")
    (tmp_path / "seed" / "README").write_text("what serves\n")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    git(tmp_path / "seed", "add", "README")
    git(tmp_path / "seed", *identity, "commit", "--quiet", "-m", "start")
    git(tmp_path / "seed", "push", "--quiet", "origin", "HEAD:main")
    controller = Controller(kube_place, bare, tmp_path / "controller")
    controller.start()
    target = GitopsTarget(kube_place.kube, Folder(str(bare), "main", "live", tmp_path / "clone"), NAMESPACE)
    yield kube_place, target, controller, bare
    controller.done.set()
    controller.join(10)


def history(bare: Path) -> list[str]:
    return git(bare, "log", "--reverse", "--format=%s", "main").splitlines()[1:]


def test_weights_are_committed_first_traffic_second_and_nothing_is_patched(
    followed: tuple[KubePlace, GitopsTarget, Controller, Path],
) -> None:
    place, target, controller, bare = followed
    one = place.promote(1)
    assert place.run(target).state == "accepted" and place.api.served() == one.uri
    two = place.promote(2)
    controller.paused.set()  # the commit is there and the cluster is not
    later = threading.Timer(0.5, controller.paused.clear)
    later.start()
    assert place.run(target).state == "accepted" and place.api.served() == two.uri
    assert history(bare) == [
        "serving: version 1 on blue", "serving: traffic to blue", "serving: version 2 on green",
        "serving: traffic to green",
    ]  # fmt: skip
    place.promote(1)
    assert place.run(target).warm and place.api.served() == one.uri
    assert history(bare)[-1] == "serving: traffic to blue" and len(history(bare)) == 5
    changed = [line for line in place.api.requests if line.split()[0] not in ("GET", "POST") and "leases" not in line]
    assert changed == []
    assert MANAGER not in {who for owners in place.api.owners.values() for names in owners.values() for who in names}


@pytest.mark.slow
def test_a_failed_version_is_taken_back_by_commits(
    followed: tuple[KubePlace, GitopsTarget, Controller, Path],
) -> None:
    place, target, _, bare = followed
    one = place.promote(1)
    place.run(target)
    two = place.promote(2)
    place.wrong.add(two.uri)
    status = place.run(target)
    assert (status.state, status.fault) == ("failed", "model") and place.api.served() == one.uri
    assert history(bare)[2:] == ["serving: version 2 on green", "serving: green stops"]
    assert place.pointer().champion == one
    three = place.promote(3)
    original = target.switch

    def switch(colour: str) -> None:
        original(colour)  # type: ignore[arg-type]
        if colour == "green":
            place.api.plans[three.uri] = "crash"

    target.switch = switch  # type: ignore[method-assign, assignment]
    status = place.run(target, bake=5)
    assert status.state == "reverted" and place.api.served() == one.uri and place.pointer().champion == one
    assert history(bare)[4:] == [
        "serving: version 3 on green", "serving: traffic to green", "serving: traffic to blue", "serving: green stops",
    ]  # fmt: skip


@pytest.mark.slow
def test_traffic_that_was_never_sent_over_is_not_sent_later(
    followed: tuple[KubePlace, GitopsTarget, Controller, Path],
) -> None:
    place, target, controller, bare = followed
    one = place.promote(1)
    place.run(target)
    place.promote(2)
    original = target.switch

    def switch(colour: str) -> None:
        controller.paused.set()  # the controller stands still from the traffic's commit on
        original(colour)  # type: ignore[arg-type]

    target.switch = switch  # type: ignore[method-assign, assignment]
    status = place.run(target, ready=1)
    assert status.state == "reverted" and "users were not sent over" in status.reason
    assert history(bare)[-3:-1] == ["serving: traffic to green", "serving: traffic to blue"]
    controller.paused.clear()
    assert place.api.served() == one.uri


@pytest.mark.slow
def test_kserve_is_stopped_by_removing_its_file(followed: tuple[KubePlace, GitopsTarget, Controller, Path]) -> None:
    place, target, _, _ = followed
    place.install(INFERENCE_SERVICE)
    place.promote(1)
    assert place.run(target).state == "accepted"
    target.stop("blue")
    assert target.held("blue") == "" and not (target.folder.path / "serving-blue.yaml").exists()


@pytest.mark.slow
def test_pushes_of_others_are_taken_in_and_a_refusal_is_said(
    followed: tuple[KubePlace, GitopsTarget, Controller, Path], tmp_path: Path
) -> None:
    place, target, _, bare = followed
    seed = tmp_path / "seed"
    (seed / "README").write_text("changed\n")
    git(seed, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-am", "another's")
    git(seed, "push", "--quiet", "origin", "HEAD:main")
    one = place.promote(1)
    target.apply("blue", one)
    assert history(bare) == ["another's", "serving: version 1 on blue"]
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho protected branch; exit 1\n")
    hook.chmod(0o755)
    with pytest.raises(StageError, match=r"(?s)the push to main is refused: .*protected branch"):
        target.apply("green", one)
    with pytest.raises(UnavailableError, match="git clone"):
        Folder(str(tmp_path / "nowhere"), "main", "live", tmp_path / "other").refresh()
