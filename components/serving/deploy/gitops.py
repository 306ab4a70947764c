"""A deployment through git: the same objects as files, one commit for the weights, one for the traffic.

Nothing is changed in the cluster here. A GitOps controller (Argo CD, Flux) applies the folder; `reader` tells when the
live objects carry what was committed. Going back is a commit too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import yaml

from components.errors import InputError, StageError, UnavailableError
from components.platform.folders.deletion import remove_file
from components.serving.deploy.status import Colour
from components.serving.deploy.target import Progress, Target
from components.serving.deploy.template import (
    SERVICE,
    rendered,
    rendered_hash,
    running,
    selector,
    template,
    workload_name,
)
from components.serving.pointer import Served

TRIES = 4
SECONDS = 120.0
AUTHOR = ("-c", "user.name=biomed-r1 deploy", "-c", "user.email=deploy@biomed-r1.invalid", "-c", "commit.gpgsign=false")
TRAFFIC = f"{SERVICE}.yaml"


class Reader(Target, Protocol):
    """What a live target tells; nothing of it that changes anything is called."""

    def config(self) -> Mapping[str, str]: ...

    def rendered_hash(self, colour: Colour) -> str: ...


class Folder:
    """A folder of a branch of a repository, in a clone of our own; every change is a commit that was pushed."""

    def __init__(self, remote: str, branch: str, path: str, clone: Path) -> None:
        self.remote, self.branch, self.clone = remote, branch, clone
        self.path = clone / path

    def refresh(self) -> None:
        """The clone as the remote is now; raises UnavailableError when that cannot be reached."""
        if not (self.clone / ".git").is_dir():
            self.clone.parent.mkdir(parents=True, exist_ok=True)
            self._git("clone", "--quiet", "--branch", self.branch, self.remote, str(self.clone), at=self.clone.parent)
        self._git("fetch", "--quiet", "origin", self.branch)
        self._git("reset", "--quiet", "--hard", f"origin/{self.branch}")

    def read(self, name: str) -> dict[str, Any] | None:
        """An object of the folder as of the last `refresh`."""
        path = self.path / name
        if not path.is_file():
            return None
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise InputError(f"{path}: not one object; only `biomed-r1 deploy` writes this folder")
        return value

    def commit(self, changes: Mapping[str, dict[str, Any] | None], message: str) -> str:
        """Write (None: remove) objects, commit and push; returns the commit, the present one where nothing changed.

        Somebody else's push in between is taken in and ours repeated. Raises StageError where it is refused.
        """
        said = ""
        for _ in range(TRIES):
            self.refresh()
            self.path.mkdir(parents=True, exist_ok=True)
            for name, value in changes.items():
                if value is None:
                    remove_file(self.path / name)
                else:
                    text = yaml.safe_dump(value, sort_keys=False, width=120)
                    (self.path / name).write_text(text, encoding="utf-8")
            files = sorted(path.name for path in self.path.glob("*.yaml") if path.name != "kustomization.yaml")
            kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
            text = yaml.safe_dump({**kustomization, "resources": files}, sort_keys=False)
            (self.path / "kustomization.yaml").write_text(text, encoding="utf-8")
            self._git("add", "--all", str(self.path))
            if not self._git("status", "--porcelain"):
                return self.head()
            self._git(*AUTHOR, "commit", "--quiet", "--message", message)
            try:
                self._git("push", "--quiet", "origin", f"HEAD:{self.branch}")
                return self.head()
            except UnavailableError as error:
                said = str(error)
        raise StageError(f"{self.remote}: the push to {self.branch} is refused: {said}")

    def head(self) -> str:
        return self._git("rev-parse", "--short", "HEAD")

    def _git(self, *words: str, at: Path | None = None) -> str:
        # No prompt: whoever waits for a password waits for ever.
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        try:
            done = subprocess.run(
                ["git", *words], cwd=at or self.clone, env=environment, capture_output=True, text=True, timeout=SECONDS
            )
        except FileNotFoundError:
            raise InputError("--mode gitops: git is not installed here") from None
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{self.remote}: git {words[0]} took longer than {SECONDS:.0f} s") from None
        if done.returncode:
            raise UnavailableError(f"{self.remote}: git {words[0]}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()


class GitopsTarget:
    """What is wanted is in the folder, what is there the `reader` says."""

    name = "gitops"

    def __init__(self, reader: Reader, folder: Folder, namespace: str) -> None:
        self.reader, self.folder, self.namespace = reader, folder, namespace
        folder.refresh()

    def lock(self, by: str) -> AbstractContextManager[None]:
        return self.reader.lock(by)

    def live(self) -> Colour | None:
        return self.reader.live()

    def held(self, colour: Colour) -> str:
        found = running(self.folder.read(_file(colour)))
        return found.uri if found else ""

    def current(self, colour: Colour, what: Served) -> bool:
        return self.folder.read(_file(colour)) == self._rendered(colour, what)

    def apply(self, colour: Colour, what: Served) -> None:
        self._commit({_file(colour): self._rendered(colour, what)}, f"serving: version {what.version} on {colour}")

    def progress(self, colour: Colour) -> Progress:
        found = self.folder.read(_file(colour))
        if running(found) is not None and self.reader.rendered_hash(colour) != rendered_hash(found):
            return Progress(
                "waiting", f"the cluster does not carry {workload_name(colour)} of {self.folder.head()} yet"
            )
        return self.reader.progress(colour)

    def address(self, colour: Colour) -> str:
        return self.reader.address(colour)

    def switch(self, colour: Colour) -> None:
        service = selector(self.namespace, colour)
        service["spec"]["ports"] = [{"name": "http", "port": 8000, "targetPort": 8000}]
        self._commit({TRAFFIC: service}, f"serving: traffic to {colour}")

    def trouble(self, colour: Colour) -> str:
        return self.reader.trouble(colour)

    def open(self, colour: Colour) -> int:
        return self.reader.open(colour)

    def stop(self, colour: Colour) -> None:
        what = running(self.folder.read(_file(colour)))
        if what is None:
            return
        if template(self.reader.config())["kind"] == "InferenceService":
            self._commit({_file(colour): None}, f"serving: {colour} stops")
            return
        self._commit({_file(colour): self._rendered(colour, what, 0)}, f"serving: {colour} stops")

    def pause(self, colour: Colour, seconds: float) -> None:
        self.reader.pause(colour, seconds)

    def _rendered(self, colour: Colour, what: Served, replicas: int = 1) -> dict[str, Any]:
        return rendered(self.reader.config(), self.namespace, colour, what, replicas)

    def _commit(self, changes: Mapping[str, dict[str, Any] | None], message: str) -> None:
        if any(self.folder.read(name) != value for name, value in changes.items()):
            self.folder.commit(changes, message)


def _file(colour: Colour) -> str:
    return f"{workload_name(colour)}.yaml"
